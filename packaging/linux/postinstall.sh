#!/bin/sh
# After the files are there. dpkg calls it with "configure" and the version before, rpm with the number of versions.
set -e

case "$1" in
configure) before=$2 ;;
1) before= ;;
2) before=another ;;
*) exit 0 ;; # dpkg undoes something that failed
esac

if ! getent passwd zrsd >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/zrsd --no-create-home --shell /usr/sbin/nologin \
		--comment "ZODB storage server" zrsd
fi
for dir in /var/lib/zrsd /var/lib/zrsd/main /var/log/zrsd; do
	if [ ! -d $dir ]; then
		install -d -m 0750 -o zrsd -g zrsd $dir
	fi
done

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
[ -n "$before" ] || exit 0

# Debian's way of restarting asks policy-rc.d, by which an administrator can forbid it.
systemctl=systemctl
if command -v deb-systemd-invoke >/dev/null; then
	systemctl=deb-systemd-invoke
fi
systemctl list-units --plain --no-legend --state=active 'zrsd@*.service' | while read -r unit _; do
	name=${unit#zrsd@}
	config=/etc/zrsd/${name%.service}.conf
	if zrsd config check "$config" >/dev/null; then
		$systemctl restart "$unit" || echo "zrsd: $unit did not restart: see journalctl -u $unit" >&2
	else
		echo "zrsd: $unit still runs the version before: first correct what zrsd config check $config says" >&2
	fi
done
