package main

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/internal/endpoint"
)

// A node that does not answer costs its time limit once, however many others are named.
func TestSeveralAddressesAreAskedAtTheSameTime(t *testing.T) {
	const n = 3
	var asked, ended sync.WaitGroup
	asked.Add(n)
	all := make(chan struct{})
	go func() { asked.Wait(); close(all) }()
	var given []endpoint.Endpoint
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		addr, err := endpoint.Parse(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, addr)
		ended.Go(func() {
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			asked.Done()
			defer conn.Close() // which is no answer
			givenUp := make(chan struct{})
			ended.Go(func() {
				defer close(givenUp)
				_, _ = io.Copy(io.Discard, conn) // until either side closes it
			})
			select {
			case <-all:
			case <-givenUp:
				t.Error("given up before the others were asked")
			}
		})
	}
	var names []string
	for _, addr := range given {
		names = append(names, addr.String())
	}
	found, err := new(tlsFlags).replications(t.Context(), "--from", strings.Join(names, ","))
	if err != nil || !slices.Equal(found, given) {
		t.Errorf("got %v, %v, want %v", found, err, given)
	}
	ended.Wait()
}
