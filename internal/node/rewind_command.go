package node

import "strings"

// rewindCommand is the command line that sets aside what this node has and the primary at addr never had. The node must
// not run meanwhile.
func (c *Config) rewindCommand(addr string) string {
	words := []string{"zrsd", "rewind", "--data", c.Data}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, value)
		}
	}
	if !c.SharedBlobs {
		add("--blobs", c.Blobs)
	}
	add("--primary", addr)
	add("--secret-file", c.SecretFile)
	if t := c.TLS; t != nil {
		add("--tls-cert", t.Certificate)
		add("--tls-key", t.Key)
		add("--tls-password-file", t.PasswordFile)
		add("--tls-ca", t.Authority)
		for _, peer := range t.Peers {
			add("--tls-peer", peer)
		}
	}
	for i, word := range words {
		words[i] = quoted(word)
	}
	return strings.Join(words, " ")
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("_-./:,@%+=[]", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
