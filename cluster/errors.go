package cluster

// A StartError says that something which a node needs could not be opened or written at its start. Nothing has been
// served.
type StartError struct{ Err error }

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }
