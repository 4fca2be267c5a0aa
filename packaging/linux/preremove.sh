#!/bin/sh
# Before the files go. dpkg calls it with "remove" or "upgrade", rpm with the number of versions that stay. What runs
# during an upgrade is restarted at its end.
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl stop 'zrsd@*.service'
fi
