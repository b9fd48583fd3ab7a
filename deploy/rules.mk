# Deployments and what checks them. The tests are in tests/deploy.
.PHONY: check-debian13
check-debian13:  ## build and run the unit tests on Debian 13, in a root made by mmdebstrap
	@tests/deploy/debian13

.PHONY: images
images: $(BUILD)/.deps-deploy  ## build the container images with this host's docker (deploy/images/build-images)
	@deploy/images/build-images
