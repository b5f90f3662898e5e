#!/usr/bin/env bash
# A local stand-in for the base image that the Dockerfile names, for machines that reach Debian and npm but no registry
# of images: Debian by mmdebstrap from this machine's own sources, Node from node_modules. Needs root.
#   deploy/images/base.sh NAME
set -euo pipefail
cd "$(dirname "$0")/../.."
name=$1
node=$(node -p 'require("node:path").dirname(require.resolve(`node-linux-${process.arch}/package.json`))')/bin/node
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mmdebstrap --quiet --variant=minbase "$suite" "$work/debian.tar"
mkdir -p "$work/more/usr/local/bin" "$work/more/usr/local/lib/node_modules"
cp "$node" "$work/more/usr/local/bin/node"
cp -rL "$npm" "$work/more/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/more/usr/local/bin/npm"
# How this machine reaches its registry of packages. It stays in the stages that build: nothing of it is copied on.
touch "$work/more/usr/local/authorities.pem"
[ -z "${NODE_EXTRA_CA_CERTS:-}" ] || cp "$NODE_EXTRA_CA_CERTS" "$work/more/usr/local/authorities.pem"
cat >"$work/Dockerfile" <<DOCKERFILE
FROM scratch
ADD debian.tar /
COPY more/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV NODE_EXTRA_CA_CERTS=/usr/local/authorities.pem npm_config_registry=$(npm config get registry)
LABEL parallax.stand-in=yes
DOCKERFILE
buildah bud --isolation chroot --quiet --tag "$name" "$work" >/dev/null
