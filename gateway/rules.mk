# gateway: every .c here but main.c also goes into an archive that the unit tests link.
GATEWAY_SRC := $(wildcard gateway/*.c)
GATEWAY_OBJ := $(GATEWAY_SRC:%.c=$(BUILD)/%.o)
GATEWAY_LIB := $(BUILD)/gateway.a
PROGRAMS += $(BUILD)/bin/ocu-gateway

$(GATEWAY_LIB): $(filter-out %/main.o,$(GATEWAY_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-gateway: $(BUILD)/gateway/main.o $(GATEWAY_LIB) $(LIBOCU)
	$(LINK)
