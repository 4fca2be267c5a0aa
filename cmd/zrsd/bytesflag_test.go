package main

import (
	"testing"

	"pgregory.net/rapid"
)

func TestANumberOfBytesIsReadAsItIsShown(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1000": 1000, "1024": 1 << 10, "64KB": 64 << 10, "10mb": 10 << 20, "1GB": 1 << 30, "2048GB": 2 << 40,
	} {
		var n int64
		if err := (bytesFlag{&n}).Set(text); err != nil || n != want {
			t.Errorf("%s is read as %d, %v, want %d", text, n, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64Range(0, 1<<20).Draw(t, "n") << rapid.IntRange(0, 40).Draw(t, "by")
		text := bytesFlag{&want}.String()
		var got int64
		if err := (bytesFlag{&got}).Set(text); err != nil || got != want {
			t.Errorf("%d is shown as %s, and read as %d, %v", want, text, got, err)
		}
	})
	for _, wrong := range []string{"", "10M", "ten", "1.5GB", "9999999999999GB", "MB"} {
		var n int64
		if err := (bytesFlag{&n}).Set(wrong); err == nil {
			t.Errorf("%q is read as %d", wrong, n)
		}
	}
}
