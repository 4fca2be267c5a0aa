#!/bin/sh
# inside.sh BEFORE NOW: the part of packages.sh that runs in the throwaway system.
set -eu
before=$1
now=$2
cd /zrsd-test
address=127.0.0.1:8100
data=/var/lib/zrsd/main
rm -f /usr/sbin/policy-rc.d # images of containers forbid restarts with it

client() {
	"$PYTHON" client.py "$@"
}

step() {
	echo "== $kind: $*"
}

fail() {
	echo "FAILED: $*"
	journalctl -q --no-pager -u 'zrsd@*' | tail -50
	exit 1
}

# until COMMAND...: waits until it succeeds.
until_() {
	i=0
	until "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 300 ] || fail "still not so after a minute: $*"
		sleep 0.2
	done
}

main_pid() {
	systemctl show --value -p MainPID "zrsd@$1"
}

another_pid() {
	pid=$(main_pid main)
	[ "$pid" != "$1" ] && [ "$pid" != 0 ] && systemctl -q is-active zrsd@main
}

install_deb() { dpkg -i "$1"/zrsd_*_amd64.deb; }
remove_deb() { dpkg -r zrsd; }
install_rpm() { rpm -U --nodeps "$1"/zrsd-*.x86_64.rpm; }
remove_rpm() { rpm -e --nodeps zrsd; }

for kind in deb rpm; do
	step "installed, it has a user and folders, and nothing runs"
	install_$kind "$before"
	[ "$(stat -c %U:%G:%a /var/lib/zrsd)" = zrsd:zrsd:750 ] || fail "the folder of the data: $(stat /var/lib/zrsd)"
	[ -z "$(systemctl list-units --plain --no-legend 'zrsd@*.service')" ] || fail "something runs already"
	zrsd config check /etc/zrsd/main.conf
	man -w zrsd-serve >/dev/null
	bash -c '. /usr/share/bash-completion/completions/zrsd'

	step "its unit is right, and hardened"
	systemd-analyze verify zrsd@main.service
	systemd-analyze security --no-pager --offline=true --threshold=20 /lib/systemd/system/zrsd@.service | tail -1

	step "enabled and started, it serves a ZEO client, and answers to the administrator"
	systemctl enable -q --now zrsd@main
	commits=$(client write $address name)
	zrsd status /run/zrsd/main/admin >/dev/null
	pid=$(main_pid main)
	[ "$(stat -c %U "/proc/$pid")" = zrsd ] || fail "it does not run as zrsd"
	[ "$(stat -c %U:%a $data/Data.fs)" = zrsd:640 ] || fail "the data file: $(stat $data/Data.fs)"

	step "the log file of another instance is moved by logrotate"
	sed -e 's/:8100/:8200/' -e 's,/main,/other,' -e 's/^# *\(<.*>\|path.*\)$/\1/' /etc/zrsd/main.conf >/etc/zrsd/other.conf
	systemctl start zrsd@other
	touch -d "2 days ago" /var/log/zrsd/other.log
	logrotate -f /etc/logrotate.d/zrsd
	until_ grep -q reopened /var/log/zrsd/other.log

	step "reloaded, it is the same process; hanging, it is killed and started again"
	systemctl reload zrsd@main
	[ "$(main_pid main)" = "$pid" ] || fail "another process after the reload"
	kill -STOP "$pid"
	until_ another_pid "$pid"
	pid=$(main_pid main)

	step "upgraded while a client commits, the new version runs, and nothing acknowledged is lost"
	"$PYTHON" client.py keep $address /zrsd-test/kept &
	keeper=$!
	until_ client read $address kept
	other=$(main_pid other)
	echo "<nonsense>" >>/etc/zrsd/other.conf # valid when it started
	old=$(zrsd version)
	install_$kind "$now"
	[ "$(zrsd version)" != "$old" ] || fail "the version is the same"
	until_ another_pid "$pid"
	[ "$(readlink "/proc/$(main_pid main)/exe")" = /usr/bin/zrsd ] || fail "the version before still runs"
	[ "$(main_pid other)" = "$other" ] || fail "an instance whose configuration is wrong was stopped"
	at_upgrade=$(client read $address kept)
	until_ sh -c "[ \$($PYTHON client.py read $address kept) -gt $at_upgrade ]"
	touch kept.stop
	wait $keeper
	kept=$(client read $address kept)
	[ "$kept" -ge "$(cat kept.count)" ] || fail "acknowledged: $(cat kept.count), there: $kept"
	rm kept.stop kept.count

	step "removed, nothing runs, and the data is there"
	pid=$(main_pid main)
	remove_$kind
	[ ! -e "/proc/$pid" ] || fail "it still runs"
	[ ! -e "/proc/$other" ] || fail "the other instance still runs"
	[ ! -e /usr/bin/zrsd ] || fail "the program is still there"
	[ -s $data/Data.fs ] || fail "the data is gone: $(ls -la $data)"
	sum=$(cat $data/Data.fs | sha256sum)

	if [ $kind = deb ]; then
		step "purged, the configuration is gone, and the data is still there"
		[ -e /etc/zrsd/main.conf ] || fail "removing the package removed the configuration"
		dpkg -P zrsd
		[ ! -e /etc/zrsd/main.conf ] || fail "purging kept the configuration"
	fi
	[ ! -L /etc/systemd/system/multi-user.target.wants/zrsd@main.service ] || fail "it is still enabled"
	getent passwd zrsd >/dev/null || fail "nobody owns the data"
	[ "$(cat $data/Data.fs | sha256sum)" = "$sum" ] || fail "the data has changed"

	step "installed again, it serves what was there"
	install_$kind "$now"
	systemctl start zrsd@main
	[ "$(client read $address name)" = "$commits" ] || fail "another state"
	remove_$kind
	[ $kind = rpm ] || dpkg -P zrsd
done
echo "== passed"
