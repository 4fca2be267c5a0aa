package main

import "fmt"

// flagError names the flag that an error is about.
func flagError(flag string, err error) error {
	if err == nil {
		return nil
	}
	return usage(fmt.Errorf("%s: %w", flag, err))
}
