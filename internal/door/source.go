package door

import (
	"net"
	"net/netip"
)

// local stands for everybody on this machine who comes over a Unix socket.
const local = "local"

// ipv6Site is how much of an IPv6 address tells one site from another: whoever has one address there has all of them.
const ipv6Site = 64

// Source returns where a connection comes from, for limits that one place must not get around: the IP address, of
// IPv6 the network.
func Source(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return local
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return local
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, ipv6Site).Masked().String()
}
