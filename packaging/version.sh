#!/bin/sh
# The version of what is built here: VERSION or the tag of this commit, else one of the commit's date and id. With the
# argument wheel in the form that PyPI knows.
set -eu
version=${VERSION:-$(git describe --tags --exact-match 2>/dev/null || true)}
if [ -n "$version" ]; then
	echo "${version#v}"
	exit
fi
date=$(git log -1 --format=%cd --date=format:%Y%m%d%H%M%S)
commit=$(git rev-parse --short=12 HEAD)
case ${1:-} in
wheel) echo "0.0.0.dev$date" ;;
*) echo "0.0.0-dev.$date.$commit" ;;
esac
