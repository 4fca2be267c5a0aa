package endpoint

import "testing"

// A server that was given an address may take it a while later: nobody else gets it meanwhile.
func TestNoAddressIsGivenTwice(t *testing.T) {
	given := map[string]bool{}
	for range 2000 {
		addr, err := FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if given[addr] {
			t.Fatalf("%s was given twice", addr)
		}
		given[addr] = true
	}
}
