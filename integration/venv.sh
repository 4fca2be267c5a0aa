#!/bin/sh
# venv.sh zodb|zeo5|zrs|tools: prepares .venv/NAME with the pinned packages, once per content of the requirements file.
# Without Python it says so and succeeds, so that the other tests run; with ZRSD_REQUIRE_PYTHON=1 that is a failure.
set -eu
name=$1
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../.venv/$name
case $name in
zodb) requirements=$here/requirements.txt ;;
zeo5) requirements=$here/requirements-zeo5.txt ;;
zrs) requirements=$here/requirements-zrs.txt ;;
tools) requirements=$here/requirements-tools.txt ;;
*) echo "usage: venv.sh zodb|zeo5|zrs|tools" >&2; exit 2 ;;
esac

if cmp -s "$requirements" "$venv/installed.txt"; then
	exit 0
fi

prepare() {
	command -v python3 >/dev/null || { echo "python3 is not installed" >&2; return 1; }
	rm -rf "$venv"
	python3 -m venv "$venv" &&
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" &&
		cp "$requirements" "$venv/installed.txt"
}

echo "preparing the Python peers in .venv/$name"
if prepare; then
	exit 0
fi
rm -rf "$venv"
if [ "${ZRSD_REQUIRE_PYTHON:-}" = 1 ]; then
	echo "Python peers are required here (ZRSD_REQUIRE_PYTHON=1) and could not be prepared" >&2
	exit 1
fi
echo "Python peers could not be prepared: the tests that need them will be skipped" >&2
