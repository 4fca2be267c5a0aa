# The shell around the blocks of the pages. It runs in namespaces of its own, so that what it does to the network and to
# files of the machine is seen by nobody else.

ip link set lo up
printf '127.0.0.1 localhost db1 db2 db3 offsite\n10.9.0.1 a\n10.9.0.2 b\n10.9.0.3 c\n10.9.0.4 d\n' > hosts
mount --bind hosts /etc/hosts
mount -t tmpfs none /mnt
mount -t tmpfs none /srv

# zrsd is the program; a server goes on beside the rest, once it answers.
zrsd() {
	case "$1" in
	serve | runzeo | primary | secondary | -C) ;;
	*)
		"$ZRSD" "$@"
		return
		;;
	esac
	local previous='' address='' data='' machine=''
	for word in "$@"; do
		case "$previous" in
		--name) machine=${machines[$word]:-} ;;
		--admin | -C) address=$word ;;
		--data) data=$word ;;
		esac
		previous=$word
	done
	${machine:+nsenter -t "$machine" -n} "$ZRSD" "$@" > "server-$#-$RANDOM.log" 2>&1 &
	local pid=$!
	address=${address:-$data}
	for _ in $(seq 600); do
		if "$ZRSD" status "$address" > /dev/null 2>&1; then
			for _ in $(seq 100); do # a spare is never ready
				"$ZRSD" health "$address" > /dev/null 2>&1 && break
				sleep 0.1
			done
			return
		fi
		kill -0 $pid 2> /dev/null || break
		sleep 0.1
	done
	echo "zrsd $* does not answer:"
	cat server-*.log
	exit 1
}

# await does something again until it is successful.
await() {
	for _ in $(seq 600); do
		if eval "$1" > await.log 2>&1; then return; fi
		sleep 0.1
	done
	cat await.log
	exit 1
}

# fixture makes a Data.fs in a folder, with blobs beside it, or elsewhere.
fixture() {
	mkdir -p "$1" "${2:-$1/blobs}"
	cp "$FIXTURES/plone-like/Data.fs" "$1"
	cp -r "$FIXTURES"/plone-like/blobs/. "${2:-$1/blobs}"
}

# machines makes machines in a network of their own, on which the node of that name runs.
declare -A machines
machines() {
	ip link add machines type bridge
	ip link set machines up
	ip addr add 10.9.0.254/24 dev machines
	for name in "$@"; do
		unshare -n sleep infinity &
		machines[$name]=$!
		until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
		ip link add "to-$name" type veth peer name eth0 netns $!
		ip link set "to-$name" up master machines
		nsenter -t $! -n ip addr add "10.9.0.${#machines[@]}/24" dev eth0
		nsenter -t $! -n ip link set eth0 up
		nsenter -t $! -n ip link set lo up
	done
}

# certificates makes an authority, and one certificate for all hosts.
certificates() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=CA" \
		-addext keyUsage=keyCertSign,cRLSign -keyout ca.key -out ca.pem 2> openssl.log
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=node" -keyout node.key -out node.csr 2> openssl.log
	printf 'subjectAltName=DNS:a,DNS:b,DNS:c,DNS:d,DNS:db1\nextendedKeyUsage=serverAuth,clientAuth\n' > node.ext
	openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile node.ext -out node.crt 2> openssl.log
	cp node.crt db2.crt
	cp node.key db2.key
}
