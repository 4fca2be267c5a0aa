package warning

// ForDisk returns what is wrong with so much room on a disk; empty for nothing. Of large disks a bounded part counts.
func ForDisk(free, size int64) Code {
	const gib = 1 << 30
	switch {
	case free < min(size/100, gib):
		return DiskFull
	case free < min(size/20, 10*gib):
		return DiskLow
	}
	return ""
}
