package service

import "testing"

func TestWhatIsRecognised(t *testing.T) {
	for first, want := range map[string]Kind{
		"\x00\x00\x00\x02Z5":           ZEO,
		"\x00\x00\x00\x02M5":           ZEO,
		"\x00\x00\x00\x04Z310":         ZEO,
		"HTTP/1.1 400 Bad Request\r\n": HTTP,
		"\x15\x03\x01\x00\x02\x02F":    TLS,
		"SSH-2.0-OpenSSH_9.2":          SSH,
		"\x00\x00\x00\x06zrsd/1":       Replication,
		"\x00\x00\x00\x20refused 3 no": Replication,

		"":                         "",
		"Z":                        "",
		"\x00\x00\x00\x02":         "",
		"\x00\x00\x00\x02Z":        "",
		"\x00\x00\x00\x06zrs2.1":   "",
		"220 mail.example.org":     "",
		"\x00\x00\x00\x11\x80\x02": "",
	} {
		if got := Recognise([]byte(first)); got != want {
			t.Errorf("%q is %q, want %q", first, got, want)
		}
	}
}
