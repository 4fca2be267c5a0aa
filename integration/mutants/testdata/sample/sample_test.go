package sample

import "testing"

func TestClamp(t *testing.T) {
	if Clamp(11) != 10 || Clamp(5) != 5 || Clamp(-5) != 0 || Greet("you") != "hello you" {
		t.Error("not clamped")
	}
}
