#!/bin/sh
# wheel.sh DIR: installs the wheels of DIR into a new environment, and serves a buildout whose plone.recipe.zeoserver
# comes from PyPI as it is. A ZEO client commits to it.
set -eu
wheels=$(readlink -f "$1")
here=$(readlink -f "$(dirname "$0")")
python=$here/../../.venv/zodb/bin/python
work=$(mktemp -d)
cd "$work"
export XDG_CACHE_HOME="$work/cache"

finish() {
	status=$?
	if [ -x bin/zeoserver ]; then
		bin/zeoserver stop >/dev/null 2>&1 || true
	fi
	[ $status = 0 ] || cat var/log/*.log 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

fail() {
	echo "FAILED: $*"
	exit 1
}

echo "== installed with pip, without an extra there is no runzeo"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check --no-index --find-links "$wheels" zrsd
env/bin/zrsd version
[ ! -e env/bin/runzeo ] || fail "there is a runzeo that nobody asked for"
env/bin/pip install -q --disable-pip-version-check --no-index --find-links "$wheels" 'zrsd[runzeo]'
[ "$(env/bin/runzeo --version)" = "$(env/bin/zrsd runzeo --version)" ] || fail "runzeo is not zrsd"

echo "== a buildout with plone.recipe.zeoserver"
env/bin/pip install -q --disable-pip-version-check -r "$here/buildout.txt"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed "s/^zeo-address = .*/zeo-address = 127.0.0.1:$port/" "$here/buildout.cfg" >buildout.cfg
env/bin/buildout -q

echo "== bin/zeoserver starts it, and a ZEO client commits"
bin/zeoserver start
[ "$("$python" "$here/client.py" write 127.0.0.1:"$port" name)" = 1 ] || fail "not committed"
pid=$(cat var/zeoserver.pid)
case $(readlink "/proc/$pid/exe") in
*/env/bin/zrsd) ;;
*) fail "it is $(readlink "/proc/$pid/exe") that runs" ;;
esac
bin/zeoserver status | grep -q "pid=$pid"

echo "== bin/zeopack packs it, bin/zeoserver restart and stop end it cleanly"
bin/zeopack
bin/zeoserver restart
[ "$("$python" "$here/client.py" write 127.0.0.1:"$port" name)" = 2 ] || fail "another state after the restart"
pid=$(cat var/zeoserver.pid)
bin/zeoserver stop
[ ! -e "/proc/$pid" ] || fail "it still runs"
[ ! -e var/zeoserver.pid ] || fail "it left its pid file"
[ -e var/filestorage/Data.fs.index ] || fail "it saved no index: $(ls var/filestorage)"

echo "== uninstalled, nothing is left"
env/bin/pip uninstall -q -y zrsd zrsd-runzeo
[ ! -e env/bin/zrsd ] || fail "zrsd is left"
[ ! -e env/bin/runzeo ] || fail "runzeo is left"
echo "== passed"
