#!/bin/sh
# release.sh DIR: the binaries of this commit for linux/amd64 and arm64 in DIR, for each a list of the modules that it has
# (SBOM, CycloneDX), and checksums. The same commit gives the same bytes.
set -eu
SBOM=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
version=v$(sh packaging/version.sh)
go=${GO:-go}

mkdir -p "$1"
for arch in amd64 arm64; do
	binary=$1/zrsd-$version-linux-$arch
	sh packaging/binary.sh $arch "$binary"
	$go version -m "$binary" | grep -q vcs.modified=false || {
		echo "a release is built from a commit: use a clone, and commit or remove what git status lists" >&2
		exit 2
	}
	GOFLAGS='' $go run $SBOM bin -json -noserial -notimestamp -version "$version" -output "$binary.cdx.json" "$binary"
done
cd "$1"
sha256sum zrsd-* >SHA256SUMS
cat SHA256SUMS
