# brokerd: every .c here but main.c also goes into an archive that the unit tests link.
BROKERD_SRC := $(wildcard brokerd/*.c)
BROKERD_OBJ := $(BROKERD_SRC:%.c=$(BUILD)/%.o)
BROKERD_LIB := $(BUILD)/brokerd.a
PROGRAMS += $(BUILD)/bin/ocu-brokerd

$(BROKERD_LIB): $(filter-out %/main.o,$(BROKERD_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-brokerd: $(BUILD)/brokerd/main.o $(BROKERD_LIB) $(LIBOCU)
	$(LINK)
