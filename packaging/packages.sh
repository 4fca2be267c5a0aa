#!/bin/sh
# packages.sh DIR: the deb and rpm packages of this commit in DIR, for ARCHS (amd64 and arm64). The same commit gives
# the same bytes.
set -eu
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4

out=$1
go=${GO:-go}
VERSION=$(sh packaging/version.sh)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export VERSION SOURCE_DATE_EPOCH
stage=bin/stage # as nfpm.yaml has it
rm -rf $stage
mkdir -p "$out"

CGO_ENABLED=0 $go run -tags packaging ./cmd/zrsd $stage "$VERSION"
gzip -9n $stage/man/*
gzip -9nc CHANGELOG.md >$stage/changelog.gz
gzip -9nc >$stage/changelog.Debian.gz <<END
zrsd ($(echo "$VERSION" | sed 's/-/~/')-1) unstable; urgency=medium

  * See changelog.gz.

 -- zrsd maintainers <maintainers@zrsd.example>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
cat >$stage/copyright <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Source: https://github.com/zrsd/zrsd

Files: *
Copyright: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y) the authors of zrsd
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
END
for ARCH in ${ARCHS:-amd64 arm64}; do
	export ARCH
	sh packaging/binary.sh "$ARCH" $stage/zrsd
	for packager in deb rpm; do
		GOFLAGS='' $go run $NFPM package --config packaging/nfpm.yaml --packager $packager --target "$out"
	done
done
rm -rf $stage
