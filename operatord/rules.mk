# operatord: every .c here but main.c also goes into an archive that the unit tests link.
OPERATORD_SRC := $(wildcard operatord/*.c)
OPERATORD_OBJ := $(OPERATORD_SRC:%.c=$(BUILD)/%.o)
OPERATORD_LIB := $(BUILD)/operatord.a
OPERATORD_LIBS = -lsqlite3
PROGRAMS += $(BUILD)/bin/ocu-operatord

$(OPERATORD_LIB): $(filter-out %/main.o,$(OPERATORD_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-operatord: EXTRA_LIBS = $(OPERATORD_LIBS)
$(BUILD)/bin/ocu-operatord: $(BUILD)/operatord/main.o $(OPERATORD_LIB) $(LIBOCU)
	$(LINK)
