# What is deployed. What checks it is in tests/rules.mk.
.PHONY: images
images: $(BUILD)/.deps-deploy  ## build the container images with this host's docker (deploy/images/build-images)
	@deploy/images/build-images
