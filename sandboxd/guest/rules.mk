# The guest agent: PID 1 of a sandbox, static, of libc and protobuf-c only. Everything but main.c also goes into
# sandboxd.a for the unit tests; frame.c is the daemon's own as well.
GUEST_SRC := $(wildcard sandboxd/guest/*.c)
GUEST_OBJ := $(GUEST_SRC:%.c=$(BUILD)/%.o) $(BUILD)/gen/proto/agent.pb-c.o
PROGRAMS += $(BUILD)/bin/ocu-guest-agent

# A sanitizer's runtime cannot be linked statically; such a build is for tests outside of a sandbox.
GUEST_LDFLAGS := $(if $(SAN),$(SAN),-static-pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections)

$(BUILD)/bin/ocu-guest-agent: $(GUEST_OBJ)
	@mkdir -p $(@D); echo "  LD    $@"
	@$(CC) $(GUEST_LDFLAGS) $^ -lprotobuf-c -o $@
