#!/usr/bin/env bash
# Builds both images without an engine: localhost/parallax-probe and localhost/parallax-hub, with the package's version
# as their tag. Needs buildah, and mmdebstrap where the base image cannot be pulled. With Docker: the Dockerfile's head.
set -euo pipefail
cd "$(dirname "$0")/../.."
dockerfile=deploy/images/Dockerfile
base=$(sed -n 's/^ARG NODE_IMAGE=//p' "$dockerfile")
version=$(node -p 'require("./package.json").version')
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

if ! buildah inspect --type image "$base" >/dev/null 2>&1 && ! timeout 120 buildah pull --quiet "$base" >/dev/null 2>&1; then
  echo "$base cannot be pulled: a stand-in is made here"
  deploy/images/base.sh "$base"
fi
for target in probe hub; do
  tag=localhost/parallax-$target:$version
  buildah bud --isolation chroot --pull-never --layers --format docker --quiet --file "$dockerfile" --target "$target" \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" --tag "$tag" . >/dev/null
  bytes=$(buildah inspect --type image --format '{{.Size}}' "$tag" 2>/dev/null || podman image inspect --format '{{.Size}}' "$tag")
  echo "$tag: $((bytes / 1000000)) MB"
done
