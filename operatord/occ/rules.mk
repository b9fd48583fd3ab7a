include deploy/samples/rules.mk

# occ: the operator's tool. Every .c here but main.c also goes into an archive that its unit tests link.
OCC_SRC := $(wildcard operatord/occ/*.c)
OCC_OBJ := $(OCC_SRC:%.c=$(BUILD)/%.o)
OCC_LIB := $(BUILD)/occ.a
OCC_LIBS = $(OCC_LIB) $(LIBOCU)
PROGRAMS += $(BUILD)/bin/occ

$(OCC_LIB): $(filter-out %/main.o,$(OCC_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/occ: $(BUILD)/operatord/occ/main.o $(OCC_LIB) $(LIBOCU)
	$(LINK)

$(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/occ_*_test.c)): $(OCC_LIB)
