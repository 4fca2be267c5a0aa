#!/bin/sh
# packages.sh BEFORE DIR: installs the packages of DIR over those of BEFORE, in a throwaway copy of this system with a
# systemd of its own: installed, started, upgraded while a client commits, removed and purged. Nothing here changes.
set -eu
before=$(readlink -f "$1")
now=$(readlink -f "$2")
here=$(readlink -f "$(dirname "$0")")
venv=$(readlink -f "$here/../../.venv")

missing=
for need in systemd-nspawn:systemd-container rpm:rpm cpio:cpio lintian:lintian logrotate:logrotate dbus-daemon:dbus; do
	command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
if [ "$(id -u)" != 0 ] || [ -n "$missing" ]; then
	echo "this test needs to run as root, and the Debian packages systemd, dbus and others. Missing:$missing" >&2
	exit 1
fi

echo "== what the packages have"
lintian --allow-root --fail-on error,warning "$now"/*_amd64.deb "$now"/*_arm64.deb
for rpm in "$now"/*.rpm; do
	rpm2cpio "$rpm" | cpio -it --quiet 2>&1 | sed 's,^\./,/,' | sort >/tmp/zrsd-in-payload
	rpm -qlp "$rpm" | sort | diff - /tmp/zrsd-in-payload
done
rm /tmp/zrsd-in-payload

work=$(mktemp -d)
trap 'umount "$work/root" "$work/changes" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/root" "$work/changes"
mount -t tmpfs tmpfs "$work/changes" # an overlay takes no overlay as its upper layer
mkdir "$work/changes/upper" "$work/changes/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/changes/upper,workdir=$work/changes/work" "$work/root"
mkdir -p "$work/root/zrsd-test"
cp "$here"/client.py "$here"/inside.sh "$work/root/zrsd-test"
cat >"$work/root/etc/systemd/system/zrsd-test.target" <<END
[Unit]
Requires=sysinit.target dbus.socket zrsd-test.service
After=sysinit.target
AllowIsolate=yes
END
cat >"$work/root/etc/systemd/system/zrsd-test.service" <<END
[Unit]
After=sysinit.target dbus.socket
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=PYTHON=$venv/zodb/bin/python
ExecStart=/bin/sh /zrsd-test/inside.sh /zrsd-test/before /zrsd-test/now
StandardOutput=file:/zrsd-test/output
StandardError=inherit
TimeoutStartSec=5min
END
status=0
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --register=no --keep-unit --private-network \
	--link-journal=no --machine zrsd-test --directory "$work/root" --console=pipe \
	--bind-ro "$before:/zrsd-test/before" --bind-ro "$now:/zrsd-test/now" --bind-ro "$venv" \
	--boot systemd.unit=zrsd-test.target >"$work/boot" 2>&1 </dev/null || status=$?
cat "$work/root/zrsd-test/output" || cat "$work/boot"
exit $status
