#!/bin/sh
# release.sh: builds the release of this commit in two clones, which must be the same, bytes for bytes, and starts both
# binaries: that for arm64 in an emulator.
set -eu
top=$(readlink -f "$(dirname "$0")/../..")
command -v qemu-aarch64-static >/dev/null || { echo "this needs Debian's qemu-user-static" >&2 && exit 1; }
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill $server 2>/dev/null; rm -rf "$work"' EXIT
VERSION=v$(cd "$top" && sh packaging/version.sh)
export VERSION
for clone in one another; do
	git clone -q --shared "$top" "$work/$clone"
	(cd "$work/$clone" && sh packaging/release.sh "$work/$clone-release" >/dev/null)
done
diff -r "$work/one-release" "$work/another-release"
cat "$work/one-release/SHA256SUMS"
for sbom in "$work"/one-release/*.cdx.json; do
	python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["components"]), "modules in", sys.argv[1])' "$sbom"
done

for arch in amd64 arm64; do
	binary=$work/one-release/zrsd-$VERSION-linux-$arch
	run=
	[ $arch = amd64 ] || run=qemu-aarch64-static
	$run "$binary" version
	mkdir "$work/$arch"
	ZEO_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	ZEO_PORT=$ZEO_PORT $run "$binary" serve --dir "$work/$arch" 2>"$work/$arch.log" &
	server=$!
	[ "$("$top/.venv/zodb/bin/python" "$top/packaging/tests/client.py" write "127.0.0.1:$ZEO_PORT" name)" = 1 ] || {
		cat "$work/$arch.log"
		exit 1
	}
	kill $server
	wait $server
	server=
done
echo "== passed"
