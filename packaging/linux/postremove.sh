#!/bin/sh
# After the files are gone. dpkg calls it with "remove", "purge" and others, rpm with the number of versions that stay.
# Data, logs and the user that owns them always stay.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
purge | 0)
	rm -f /etc/systemd/system/multi-user.target.wants/zrsd@*.service
	if [ -n "$(ls -A /var/lib/zrsd 2>/dev/null)" ]; then
		echo "zrsd: the data in /var/lib/zrsd stays: remove it yourself if nobody needs it" >&2
	fi
	;;
esac
