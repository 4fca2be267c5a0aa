#!/bin/sh
# container.sh STORAGE: runs the image localhost/zrsd in STORAGE (see container-image.sh) as plone/plone-zeo is run, and two
# nodes with the files of the compose file, with real ZEO clients.
set -eu
if [ -z "${ZRSD_MOUNTS:-}" ]; then
	ZRSD_MOUNTS=own exec unshare --mount sh "$0" "$(readlink -f "$1")"
fi
here=$(readlink -f "$(dirname "$0")")
mount -t cgroup2 cgroup2 /sys/fs/cgroup # podman refuses the two versions beside each other that some machines have
cd "$here/../.."
work=$(mktemp -d)
export STORAGE_DRIVER=vfs
podman() {
	command podman --root "$STORAGE/storage" --runroot "$STORAGE/run" --cgroup-manager cgroupfs --events-backend none "$@"
}
STORAGE=$1

finish() {
	status=$?
	[ $status = 0 ] || for name in $(podman ps -a --format '{{.Names}}'); do
		echo "-- $name"
		podman logs "$name" 2>&1 | tail -30
	done
	podman rm -fa >/dev/null 2>&1 || true
	podman volume rm -fa >/dev/null 2>&1 || true
	rm -rf "$work"
	exit $status
}
trap finish EXIT

fail() {
	echo "FAILED: $*"
	exit 1
}

# run NAME OPTION...: a container in the network of this machine.
run() {
	name=$1
	shift
	podman run -d --name "$name" --cgroups disabled --network host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
		"$@" localhost/zrsd >/dev/null
}

client() {
	.venv/zodb/bin/python packaging/tests/client.py "$@"
}

# eventually COMMAND...: waits until it succeeds.
eventually() {
	i=0
	until "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 300 ] || fail "still not so after a minute: $*"
		sleep 0.2
	done
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
podman image inspect localhost/zrsd --format \
	'{{.User}} {{.Config.StopSignal}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{json .HealthCheck.Test}} {{.Size}} bytes'

echo "== run as plone-zeo, with a new volume: a ZEO client commits, the health check is right, the log is on stdout"
run zeo -e "ZEO_PORT=$port" -v zeo-data:/data
[ "$(client write "127.0.0.1:$port" name)" = 1 ] || fail "not committed"
eventually podman healthcheck run zeo
podman exec zeo zrsd status /app/var/admin >/dev/null
podman logs zeo 2>"$work/stderr" | grep -q listening || fail "no log on stdout"
[ ! -s "$work/stderr" ] || fail "on stderr: $(cat "$work/stderr")"
[ "$(awk '/^Uid/ {print $2}' "/proc/$(podman inspect zeo --format '{{.State.Pid}}')/status")" = 500 ] || fail "not user 500"

echo "== stopped by SIGTERM, it ends cleanly"
podman stop -t 30 zeo >/dev/null
[ "$(podman inspect zeo --format '{{.State.ExitCode}}')" = 0 ] || fail "exit code $(podman inspect zeo --format '{{.State.ExitCode}}')"
podman rm zeo >/dev/null

echo "== the volume is that of plone-zeo: filestorage/Data.fs and blobstorage"
volume=$(podman volume inspect zeo-data --format '{{.Mountpoint}}')
[ -s "$volume/filestorage/Data.fs" ] || fail "no filestorage/Data.fs"
[ -d "$volume/blobstorage" ] || fail "no blobstorage"

echo "== the other variables of plone-zeo; a root file system that is read-only"
run zeo -e "ZEO_PORT=$port" -e ZEO_READ_ONLY=true -e ZEO_INVALIDATION_QUEUE_SIZE=7 -e ZEO_PACK_KEEP_OLD=false \
	-v zeo-data:/data --read-only --tmpfs /app/var:mode=1777
[ "$(client read "127.0.0.1:$port" name)" = 1 ] || fail "another state in another container"
client write "127.0.0.1:$port" name 2>&1 | grep -q ReadOnlyError || fail "it is not read-only"
podman exec zeo zrsd config show /app/etc/zeo.conf | grep -E 'read-only|queue|keep-old'
podman rm -f -t 30 zeo >/dev/null

echo "== two nodes with the files of compose.yaml: writes at zeo-a, and after a switchover at zeo-b"
compose=$PWD/packaging/container/compose
hosts="--add-host zeo-a:127.0.0.11 --add-host zeo-b:127.0.0.12"
# shellcheck disable=SC2086 # two options, and two words each
run zeo-a $hosts -e NODE=zeo-a -e OTHER=zeo-b -v "$compose/primary.conf:/app/etc/zeo.conf:ro" -v a:/data -v admin:/app/var
# shellcheck disable=SC2086
run zeo-b $hosts -e NODE=zeo-b -e OTHER=zeo-a -v "$compose/secondary.conf:/app/etc/zeo.conf:ro" -v b:/data -v admin:/app/var
[ "$(client write 127.0.0.11:8100 name)" = 1 ] || fail "not committed at zeo-a"
eventually client read 127.0.0.12:8100 name
podman exec zeo-a zrsd switchover /app/var/zeo-a /app/var/zeo-b
[ "$(client write 127.0.0.12:8100 name)" = 2 ] || fail "not committed at zeo-b"
podman restart -t 90 zeo-a zeo-b >/dev/null
[ "$(client write 127.0.0.12:8100 name)" = 3 ] || fail "zeo-b is not primary after the restart of both"
podman stop -t 90 zeo-a >/dev/null
podman rm -f -t 0 zeo-b >/dev/null # zeo-b is lost
podman start zeo-a >/dev/null
eventually podman exec zeo-a zrsd promote /app/var/zeo-a
[ "$(client write 127.0.0.11:8100 name)" = 4 ] || fail "zeo-a is not primary"
echo "== passed"
