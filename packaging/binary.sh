#!/bin/sh
# binary.sh ARCH FILE: the static binary for linux/ARCH, as it is released. The same commit gives the same bytes,
# whoever builds it, with the Go that go.mod names.
set -eu
version=$(sh packaging/version.sh)
export CGO_ENABLED=0 GOOS=linux GOARCH="$1" GOAMD64=v1 GOARM64=v8.0 GOFLAGS=
tags=$(cat packaging/tags)
release="-X github.com/zrsd/zrsd/internal/node.release=v$version"
exec "${GO:-go}" build -trimpath -buildvcs=true -tags "$tags" -ldflags "-s -w -buildid= $release" -o "$2" ./cmd/zrsd
