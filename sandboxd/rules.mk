# sandboxd: every .c here but main.c also goes into an archive that the unit tests link, with the guest agent's modules.
SANDBOXD_SRC := $(wildcard sandboxd/*.c)
SANDBOXD_OBJ := $(SANDBOXD_SRC:%.c=$(BUILD)/%.o)
SANDBOXD_GUEST_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/main.c,$(wildcard sandboxd/guest/*.c)))
SANDBOXD_LIB := $(BUILD)/sandboxd.a
SANDBOXD_LIBS := -lnftables
PROGRAMS += $(BUILD)/bin/ocu-sandboxd

# The built-in seccomp profile.
$(BUILD)/sandboxd/bundle.o: deploy/images/seccomp.json

$(SANDBOXD_LIB): $(filter-out %/main.o,$(SANDBOXD_OBJ)) $(SANDBOXD_GUEST_OBJ)
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-sandboxd: EXTRA_LIBS := $(SANDBOXD_LIBS)
$(BUILD)/bin/ocu-sandboxd: $(BUILD)/sandboxd/main.o $(SANDBOXD_LIB) $(LIBOCU)
	$(LINK)
