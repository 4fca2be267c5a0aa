#!/bin/sh
# container-image.sh STORAGE VERSION: builds the image localhost/zrsd in STORAGE, with the Dockerfile as it is, but for the
# base of its first stage: busybox and this machine's Go, because there may be no registry.
set -eu
for need in buildah:buildah podman:podman crun:crun busybox:busybox-static; do
	command -v "${need%:*}" >/dev/null || {
		echo "this test runs as root and needs a package of Debian: ${need#*:}" >&2
		exit 1
	}
done
go=${GO:-go}
cd "$(dirname "$0")/../.."
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah="buildah --root $1/storage --runroot $1/run"

base=$($buildah from scratch)
mkdir -p "$1/base/bin" "$1/base/tmp"
cp "$(command -v busybox)" "$1/base/bin/busybox"
for name in sh mkdir cp ln chown dirname; do
	ln -s busybox "$1/base/bin/$name"
done
$buildah copy -q "$base" "$1/base" / >/dev/null
$buildah config --env PATH=/usr/local/go/bin:/bin --env GOCACHE=/cache --env GOMODCACHE=/modules "$base"
$buildah commit -q "$base" localhost/go >/dev/null
$buildah bud -q -f packaging/container/Dockerfile --ignorefile packaging/container/Dockerfile.dockerignore --format docker \
	--build-arg GO_IMAGE=localhost/go --build-arg VERSION="$2" -t localhost/zrsd \
	-v "$($go env GOROOT):/usr/local/go:ro" -v "$($go env GOMODCACHE):/modules" \
	-v "$($go env GOCACHE):/cache" -v /etc/resolv.conf:/etc/resolv.conf:ro \
	-v /etc/ssl/certs:/etc/ssl/certs:ro . >/dev/null
rm -r "$1/base"
