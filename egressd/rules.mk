# egressd: every .c here but main.c also goes into an archive that the unit tests link.
EGRESSD_SRC := $(wildcard egressd/*.c)
EGRESSD_OBJ := $(EGRESSD_SRC:%.c=$(BUILD)/%.o)
EGRESSD_LIB := $(BUILD)/egressd.a
EGRESSD_LIBS := -lcares
PROGRAMS += $(BUILD)/bin/ocu-egressd

$(EGRESSD_LIB): $(filter-out %/main.o,$(EGRESSD_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-egressd: EXTRA_LIBS := $(EGRESSD_LIBS)
$(BUILD)/bin/ocu-egressd: $(BUILD)/egressd/main.o $(EGRESSD_LIB) $(LIBOCU)
	$(LINK)
