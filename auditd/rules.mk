# auditd: every .c here but main.c also goes into an archive that the unit tests link.
AUDITD_SRC := $(wildcard auditd/*.c)
AUDITD_OBJ := $(AUDITD_SRC:%.c=$(BUILD)/%.o)
AUDITD_LIB := $(BUILD)/auditd.a
PROGRAMS += $(BUILD)/bin/ocu-auditd

$(AUDITD_LIB): $(filter-out %/main.o,$(AUDITD_OBJ))
	@echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(BUILD)/bin/ocu-auditd: $(BUILD)/auditd/main.o $(AUDITD_LIB) $(LIBOCU)
	$(LINK)
