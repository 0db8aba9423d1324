# All images at once, from the root of the repository:
#
#   docker buildx bake --file deploy/images/docker-bake.hcl
#   PLATFORMS=linux/amd64,linux/arm64 REGISTRY=registry.example/ TAG=1.0 docker buildx bake --file … --push

variable "REGISTRY" { default = "" }
variable "TAG" { default = "dev" }
variable "PLATFORMS" { default = "" }
variable "REVISION" { default = "unknown" }

group "default" {
  targets = ["sut", "loadgen", "readhook", "probe-user"]
}

target "common" {
  context    = "."
  dockerfile = "deploy/images/Dockerfile"
  platforms  = PLATFORMS == "" ? [] : split(",", PLATFORMS)
  args       = { VERSION = TAG, REVISION = REVISION }
}

target "image" {
  name     = name
  matrix   = { name = ["sut", "loadgen", "readhook", "probe-user", "java"] }
  inherits = ["common"]
  target   = name
  tags     = ["${REGISTRY}hookprobe/${name}:${TAG}"]
}
