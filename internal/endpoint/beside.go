package endpoint

import "path/filepath"

// adminSuffix is what the name of the socket for commands has after that of the data file.
const adminSuffix = ".admin"

// BesideData returns the address where a process that was given no admin address answers: a Unix socket beside its data
// file. The error says that its path would be too long for a socket.
func BesideData(data string) (Endpoint, error) {
	dir, name := filepath.Split(data)
	if dir == "" {
		dir = "." + string(filepath.Separator)
	}
	return Parse(dir + name + adminSuffix)
}
