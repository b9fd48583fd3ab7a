# tests/unit/<area>_<module>_test.c links <area>.a when <area> is a daemon, and libocu.a always.
# tests/fuzz/<area>_<module>_fuzz.c likewise, built with clang and libFuzzer in a build folder of their own.
UNIT_SRC  := $(wildcard tests/unit/*_test.c)
UNIT_BIN  := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
FUZZ_SRC  := $(wildcard tests/fuzz/*_fuzz.c)
FUZZ_BIN  := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzzers/%)
SUPPORT_SRC := $(wildcard tests/support/*.c)
SUPPORT_BIN := $(SUPPORT_SRC:tests/support/%.c=$(BUILD)/bin/ocu-%)
FUZZ_SECONDS ?= 5
FUZZ_SEED    ?= 1# the same inputs every time; 0: others every time

area_of = $(firstword $(subst _, ,$(notdir $(1))))
area_lib = $(if $(filter $(call area_of,$(1)),$(DAEMONS)),$(BUILD)/$(call area_of,$(1)).a)

# Libraries a daemon needs beyond the common ones: <DAEMON>_LIBS, set in its rules.mk.
upper = $(shell echo $(1) | tr a-z A-Z)

.SECONDEXPANSION:
$(UNIT_BIN): $(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $$(call area_lib,$$*) $(LIBOCU)
	@mkdir -p $(@D); echo "  LD    $@"
	@$(CC) $(LDFLAGS) $^ $($(call upper,$(call area_of,$*))_LIBS) $(shell pkg-config --libs check) $(PKG_LIBS) -o $@

$(FUZZ_BIN): $(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/%.o $$(call area_lib,$$*) $(LIBOCU)
	@mkdir -p $(@D); echo "  LD    $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ $($(call upper,$(call area_of,$*))_LIBS) $(PKG_LIBS) -o $@

$(SUPPORT_BIN): $(BUILD)/bin/ocu-%: $(BUILD)/tests/support/%.o $(LIBOCU)
	@mkdir -p $(@D); echo "  LD    $@"
	@$(CC) $(LDFLAGS) $^ $(PKG_LIBS) -o $@

.PHONY: check-unit fuzz fuzz-bins support
.SECONDARY: $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%.o)
support: $(SUPPORT_BIN)

UNIT_WANTED := $(if $(T),$(filter %/$(T),$(UNIT_BIN)),$(UNIT_BIN))
check-unit: $(UNIT_WANTED)  ## run the unit tests (T=name runs one)
	@tests/support/two-at-a-time env CK_DEFAULT_TIMEOUT=300 CK_TIMEOUT_MULTIPLIER=5 -- $(UNIT_WANTED)

fuzz-bins: $(FUZZ_BIN)
fuzz:  ## run every fuzzer on its corpus for FUZZ_SECONDS each
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=$(CLANG) \
	  SAN="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined" fuzz-bins
	@for f in $(FUZZ_SRC:tests/fuzz/%.c=%); do \
	  corpus=tests/fuzz/corpus/$${f%_fuzz}; work=$(BUILD)/fuzz/work/$$f; mkdir -p $$work $$corpus; \
	  echo "  FUZZ  $$f"; \
	  $(BUILD)/fuzz/fuzzers/$$f -seed=$(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -timeout=60 -rss_limit_mb=2048 -verbosity=0 \
	    -print_final_stats=0 -artifact_prefix=$$work/ $$work $$corpus; \
	done

# The official MCP clients, pinned by package-lock.json.
CLIENTS := tests/integration/clients
$(CLIENTS)/node_modules/.stamp: $(CLIENTS)/package-lock.json
	@echo "  NPM   $(CLIENTS)"; cd $(CLIENTS) && npm ci --no-fund --no-audit --loglevel=error >/dev/null && touch node_modules/.stamp

# Integration: real daemons, real sandboxes, in a network and mount namespace of their own.
OCU_IMAGES ?= /var/cache/ocu/images
IN_NETNS := env OCU_BUILD=$(abspath $(BUILD)) OCU_IMAGES=$(OCU_IMAGES) tests/support/in-netns
PYTEST := $(PYTHON) -B -m pytest -q -p no:cacheprovider --durations=5

.PHONY: sandbox-image check-integration
sandbox-image:  ## build the sandbox image, unless this recipe has made it already
	@deploy/images/build-sandbox-image $(OCU_IMAGES)

check-integration: all support sandbox-image $(CLIENTS)/node_modules/.stamp  ## integration and adversary tests (T=file or -k expression in K)
	@$(if $(T)$(K),$(IN_NETNS) $(PYTEST) $(if $(K),-k "$(K)") tests/integration/$(T),\
	  tests/support/two-at-a-time $(IN_NETNS) $(PYTEST) -- tests/integration/test_*.py)

.PHONY: check-debian13
check-debian13:  ## build and run the unit tests on Debian 13, in a root made by mmdebstrap
	@tests/deploy/debian13

.PHONY: deb check-deb
deb: all  ## build Debian packages for this release into build/debs
	@deploy/debian/build-debs $(BUILD)/bin $(BUILD)/debs
check-deb: $(BUILD)/.deps-deploy all sandbox-image  ## the packages: the same twice, installed, booted with systemd, used, purged
	@OCU_IMAGES=$(OCU_IMAGES) tests/deploy/debs $(BUILD)/bin

.PHONY: check-deploy build-base full-root
build-base:
	@deploy/images/build-base >/dev/null
full-root:
	@deploy/full/build-full-root >/dev/null
check-deploy: $(BUILD)/.deps-deploy all support sandbox-image build-base full-root $(CLIENTS)/node_modules/.stamp  ## the deployments: images, Compose (T=file, K=expression)
	@$(IN_NETNS) $(PYTEST) $(if $(K),-k "$(K)") $(if $(T),tests/deploy/$(T),$(wildcard tests/deploy/test_*.py))

include $(wildcard tests/deploy/*.mk)

.PHONY: trace
trace:  ## print which test shows which requirement
	@$(PYTHON) tests/support/trace.py

BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_BIN := $(BENCH_SRC:tests/bench/%.c=$(BUILD)/bin/ocu-bench-%)
$(BENCH_BIN): $(BUILD)/bin/ocu-bench-%: $(BUILD)/tests/bench/%.o $(LIBOCU)
	@mkdir -p $(@D); echo "  LD    $@"
	@$(CC) $(LDFLAGS) $^ $(PKG_LIBS) -o $@

.PHONY: bench bench-all
bench: $(BUILD)/.deps-bench  ## measure against named peers, write build/bench.json (B=calls|create|audit|memory)
	@$(SUB) -j2 bench-all
	@$(IN_NETNS) $(PYTHON) -B tests/bench/bench.py $(B)
bench-all: all $(BENCH_BIN) sandbox-image $(CLIENTS)/node_modules/.stamp
