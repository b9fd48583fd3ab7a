# What is deployed. What checks it is in tests/rules.mk.
.PHONY: images image-full bundle
images: $(BUILD)/.deps-deploy  ## build the container images with this host's docker (deploy/images/build-images)
	@deploy/images/build-images
image-full: $(BUILD)/.deps-deploy  ## the image of the Compose profile `full`: an identity provider, a syslog collector and an S3 store
	@deploy/full/build-full-image
bundle: images  ## everything an installation without a network needs, in build/bundle
	@deploy/bundle
