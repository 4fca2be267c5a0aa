#!/bin/sh
# rootfs.sh DIR: the files of the image, for TARGETARCH. zrsd writes to app/var and data.
set -eu
mkdir -p "$1/app/bin" "$1/app/etc" "$1/app/var" "$1/data" "$1/etc"
sh packaging/binary.sh "${TARGETARCH:-amd64}" "$1/app/bin/zrsd"
ln -s zrsd "$1/app/bin/runzeo"
cp packaging/container/zeo.conf "$1/app/etc/"
echo "plone:x:500:500:plone:/app:/nonexistent" >"$1/etc/passwd"
echo "plone:x:500:" >"$1/etc/group"
chown 500:500 "$1/app/var" "$1/data"
