# Open Computer Use: one non-recursive Makefile; every folder adds its part in rules.mk.
# `make help` lists the targets. Packages come from deploy/packages.debian and nowhere else.
SHELL   := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

comma   := ,
VERSION := 0.1.0
BUILD   ?= build
CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
CLANG   ?= clang
PYTHON  ?= /usr/bin/python3
PREFIX  ?= /usr/local

DAEMONS := gateway operatord brokerd sandboxd egressd auditd
PKGS    := libmicrohttpd libprotobuf-c jansson openssl libcurl yaml-0.1 libseccomp libcap gnutls

CPPFLAGS += -I. -I$(BUILD)/gen -D_GNU_SOURCE -DOCU_VERSION='"$(VERSION)"'
WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wvla -Wformat=2 -Wno-format-nonliteral
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fPIE -fno-plt \
            -D_FORTIFY_SOURCE=2
OPT      ?= -O2 -g
SAN      ?=
# Where it was built is nobody's business, and two builds in two folders are to be the same.
CFLAGS   += -std=gnu17 $(WARN) $(OPT) -ffile-prefix-map=$(CURDIR)=. $(if $(SAN),$(SAN) -fno-omit-frame-pointer,$(HARDEN)) -pthread
LDFLAGS  += $(if $(SAN),$(SAN),-pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed) -pthread

# pkg-config is asked once per make, and only when something is to be built. Debian ships no nng.pc.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lnng)$(PKG_LIBS)

LIBOCU := $(BUILD)/libocu.a
PROGRAMS :=
HELP_TESTS :=

COMPILE = @mkdir -p $(@D); echo "  CC    $<"; \
          $(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(EXTRA_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
LINK    = @mkdir -p $(@D); echo "  LD    $@"; $(CC) $(LDFLAGS) $^ $(EXTRA_LIBS) $(PKG_LIBS) -o $@

include proto/rules.mk
include libocu/rules.mk
include $(wildcard $(addsuffix /rules.mk,$(DAEMONS)))
include $(wildcard operatord/occ/rules.mk sandboxd/guest/rules.mk deploy/rules.mk)
include $(wildcard tests/rules.mk)

# Generated protocol headers must exist before anything that may include them is compiled.
$(BUILD)/%.o: %.c | $(PROTO_HEADERS)
	$(COMPILE)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

.PHONY: all clean help deps install
all: $(PROGRAMS)  ## build the six daemons, occ and the guest agent

deps: $(BUILD)/.deps-test  ## install the Debian packages of deploy/packages.debian that are missing
$(BUILD)/.deps-run: SECTIONS := build run
$(BUILD)/.deps-test: SECTIONS := build run test
$(BUILD)/.deps-deploy: SECTIONS := build run test deploy
$(BUILD)/.deps-bench: SECTIONS := build run test bench
$(BUILD)/.deps-k8s: SECTIONS := build run test k8s
$(BUILD)/.deps-%: deploy/packages.debian deploy/install-packages
	@mkdir -p $(@D)
	@deploy/install-packages deploy/packages.debian $(SECTIONS)
	@touch $@

SUB := $(MAKE) --no-print-directory
SAN_SUB = $(SUB) BUILD=$(BUILD)/$(1) SAN="$(2)" OPT="-O1 -g"

.PHONY: run check asan ubsan tsan lint format-check format check-layout
run: $(BUILD)/.deps-run  ## install what is missing, build, and serve a whole deployment until Ctrl-C
	@$(SUB) -j2 all && exec deploy/solo/run --bin $(abspath $(BUILD))/bin

check: $(BUILD)/.deps-test  ## install what is missing and run every test
	@$(SUB) -j2 all support && $(SUB) check-layout reference-check && $(SUB) -j2 check-unit && $(SUB) check-integration && \
	 $(SUB) -j2 FUZZ_SECONDS=3 check-helm fuzz && $(SUB) trace | tail -1

asan: $(BUILD)/.deps-test  ## unit tests under AddressSanitizer and UBSan
	@$(call SAN_SUB,asan,-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined) -j2 check-unit
ubsan: $(BUILD)/.deps-test  ## unit tests under UBSan alone
	@$(call SAN_SUB,ubsan,-fsanitize=undefined -fno-sanitize-recover=undefined) -j2 check-unit
tsan: $(BUILD)/.deps-test  ## unit tests under ThreadSanitizer
	@$(call SAN_SUB,tsan,-fsanitize=thread) -j2 check-unit

C_FILES = $(shell git ls-files '*.c' '*.h')
format-check:  ## every C file as .clang-format says
	@clang-format --dry-run --Werror $(C_FILES)
format:
	@clang-format -i $(C_FILES)
lint: $(BUILD)/.deps-test $(PROTO_HEADERS) format-check check-layout  ## clang-tidy, cppcheck, shellcheck, formatting, layout
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,performance,portability --std=c11 \
	  --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
	  --suppress=varFuncNullUB -D__GNUC__ -I. -j2 $(filter %.c,$(C_FILES))
	@printf '%s\n' $(filter %.c,$(C_FILES)) | xargs -P2 -I{} clang-tidy --quiet {} -- $(CPPFLAGS) $(PKG_CFLAGS) -std=gnu17 2>/dev/null
	@git ls-files | xargs grep -lE '^#!/bin/(ba)?sh' | xargs -r shellcheck -S warning
check-layout:  ## no daemon includes another daemon; libocu includes none
	@tests/support/check-layout

.PHONY: reference reference-check
reference: all  ## write docs/reference from the daemons' option tables
	@mkdir -p docs/reference; for d in $(DAEMONS); do $(BUILD)/bin/ocu-$$d --print-reference >docs/reference/$$d.md; done
reference-check: all  ## fail when docs/reference is not what the programs print
	@for d in $(DAEMONS); do $(BUILD)/bin/ocu-$$d --print-reference | diff -u docs/reference/$$d.md - || \
	  { echo "docs/reference/$$d.md is stale: run make reference" >&2; exit 1; }; done

install: all  ## install the programs, the image recipe and the documentation under PREFIX
	@install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/ocu $(DESTDIR)$(PREFIX)/share/ocu/images $(DESTDIR)$(PREFIX)/share/doc/ocu
	install -m 0755 $(filter-out %/ocu-guest-agent,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(filter %/ocu-guest-agent,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/libexec/ocu
	cp -r deploy/images/. $(DESTDIR)$(PREFIX)/share/ocu/images
	install -m 0644 README.md docs/*.md $(DESTDIR)$(PREFIX)/share/doc/ocu

clean:  ## remove everything that was built
	rm -rf $(BUILD)

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z0-9-]*:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort -u
