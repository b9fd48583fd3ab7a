# sandboxd: every .c here but main.c also goes into an archive that the unit tests link.
SANDBOXD_SRC := $(wildcard sandboxd/*.c)
SANDBOXD_OBJ := $(SANDBOXD_SRC:%.c=$(BUILD)/%.o)
SANDBOXD_LIB := $(BUILD)/sandboxd.a
PROGRAMS += $(BUILD)/bin/ocu-sandboxd

$(SANDBOXD_LIB): $(filter-out %/main.o,$(SANDBOXD_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-sandboxd: $(BUILD)/sandboxd/main.o $(SANDBOXD_LIB) $(LIBOCU)
	$(LINK)
