package vfs

// A DataSyncer is a file that can make its content durable without the times of its last changes, which no reader needs
// and which cost a write of their own.
type DataSyncer interface {
	// SyncData makes content and size durable.
	SyncData() error
}

// SyncData makes content and size of f durable, without more where f is a DataSyncer.
func SyncData(f File) error {
	if d, ok := f.(DataSyncer); ok {
		return d.SyncData()
	}
	return f.Sync()
}
