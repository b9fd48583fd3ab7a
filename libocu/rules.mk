LIBOCU_SRC := $(wildcard libocu/*.c)
LIBOCU_OBJ := $(LIBOCU_SRC:%.c=$(BUILD)/%.o)

$(LIBOCU): $(LIBOCU_OBJ) $(PROTO_OBJ)
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^
