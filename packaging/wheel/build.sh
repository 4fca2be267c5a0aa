#!/bin/sh
# build.sh DIR: the wheels of this commit in DIR, for ARCHS (amd64 and arm64). The same commit gives the same bytes.
set -eu
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
binaries=
for arch in ${ARCHS:-amd64 arm64}; do
	sh packaging/binary.sh "$arch" "$work/$arch"
	binaries="$binaries $arch=$work/$arch"
done
# shellcheck disable=SC2086 # one word for each
python3 packaging/wheel/build.py "$1" "$(sh packaging/version.sh wheel)" $binaries
