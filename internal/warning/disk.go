package warning

// LittleRoom is how many bytes have to be left on a disk, whatever its size, for it not to be nearly full.
const LittleRoom = 64 << 20

// ForDisk returns what is wrong with so much room on a disk; empty for nothing. Of large disks a bounded part counts,
// and of small ones no less than LittleRoom.
func ForDisk(free, size int64) Code {
	const gib = 1 << 30
	switch {
	case free < max(LittleRoom, min(size/100, gib)):
		return DiskFull
	case free < max(2*LittleRoom, min(size/20, 10*gib)):
		return DiskLow
	}
	return ""
}
