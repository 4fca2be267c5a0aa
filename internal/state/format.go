package state

// FormatVersion is the newest format of the state file that this version reads, and the one that it writes.
const FormatVersion = format
