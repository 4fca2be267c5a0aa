#!/bin/sh
# build.sh DIR: the wheels of this commit in DIR. The same commit gives the same bytes.
set -eu
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for arch in amd64 arm64; do
	sh packaging/binary.sh $arch "$work/$arch"
done
python3 packaging/wheel/build.py "$1" "$(sh packaging/version.sh wheel)" "amd64=$work/amd64" "arm64=$work/arm64"
