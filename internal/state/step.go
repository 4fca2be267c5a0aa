package state

import "fmt"

// MaxStep is by how much the number of an epoch may be above the highest one that a node knows of. Each promotion makes
// it rise by one or a few, so that no node that was away for years meets more. Without a bound one message with the
// last number that there is would leave none for any promotion to come.
const MaxStep = 1 << 20

// A stepError says that the number of an epoch is too high to be true.
type stepError struct{ number, known uint64 }

func (e *stepError) Error() string {
	return fmt.Sprintf(
		"epoch %d is not plausible: the highest known one is %d, and promotions skip at most %d; the number is "+
			"ignored",
		e.number,
		e.known,
		MaxStep,
	)
}

// Believe returns a *stepError when the number of an epoch is too high to be true for a node that knows of known.
func Believe(number, known uint64) error {
	if number > known && number-known > MaxStep {
		return &stepError{number, known}
	}
	return nil
}
