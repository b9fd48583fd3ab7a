# What is deployed. What checks it is in tests/rules.mk.
.PHONY: images bundle
images: $(BUILD)/.deps-deploy  ## build the container images with this host's docker (deploy/images/build-images)
	@deploy/images/build-images
bundle: images  ## everything an installation without a network needs, in build/bundle
	@deploy/bundle
