# Sample configurations: what each daemon's own table prints, made when the daemons are built and never edited.
SAMPLES := $(DAEMONS:%=$(BUILD)/samples/%.yaml)

$(BUILD)/samples/%.yaml: $(BUILD)/bin/ocu-%
	@mkdir -p $(@D); echo "  GEN   $@"; $< --print-example >$@.new && mv $@.new $@

.PHONY: samples
samples: $(SAMPLES)  ## print a sample configuration for every daemon into build/samples
all: $(SAMPLES)
