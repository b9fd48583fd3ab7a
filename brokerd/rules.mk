# brokerd: every .c here but main.c also goes into an archive that the unit tests link.
BROKERD_SRC := $(wildcard brokerd/*.c)
BROKERD_OBJ := $(BROKERD_SRC:%.c=$(BUILD)/%.o)
BROKERD_LIB := $(BUILD)/brokerd.a
PROGRAMS += $(BUILD)/bin/ocu-brokerd

# pkg-config is asked once, and only when something of brokerd is built.
BROKERD_LIBS = $(eval BROKERD_LIBS := $(shell pkg-config --libs fuse3 2>/dev/null))$(BROKERD_LIBS)

$(BROKERD_LIB): $(filter-out %/main.o,$(BROKERD_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-brokerd: EXTRA_LIBS = $(BROKERD_LIBS)
$(BUILD)/bin/ocu-brokerd: $(BUILD)/brokerd/main.o $(BROKERD_LIB) $(LIBOCU)
	$(LINK)
