# One .proto per bus; protoc-c output lands in $(BUILD)/gen/proto.
PROTO_SRC     := $(wildcard proto/*.proto)
PROTO_HEADERS := $(PROTO_SRC:%.proto=$(BUILD)/gen/%.pb-c.h)
PROTO_C       := $(PROTO_SRC:%.proto=$(BUILD)/gen/%.pb-c.c)
PROTO_OBJ     := $(PROTO_SRC:%.proto=$(BUILD)/gen/%.pb-c.o)

$(BUILD)/gen/%.pb-c.h $(BUILD)/gen/%.pb-c.c: %.proto
	@command -v protoc-c >/dev/null || { echo "protoc-c is missing: run make deps (as root) first" >&2; exit 1; }
	@mkdir -p $(@D); echo "  PROTO $<"
	@protoc-c --c_out=$(BUILD)/gen -I. $<

$(BUILD)/gen/%.pb-c.o: $(BUILD)/gen/%.pb-c.c | $(PROTO_HEADERS)
	@$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) -Wno-error -MMD -MP -c $< -o $@

.SECONDARY: $(PROTO_HEADERS) $(PROTO_C)
