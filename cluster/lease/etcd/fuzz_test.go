package etcd

import (
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/zrsd/zrsd/cluster/lease"
)

// FuzzEnter: whatever somebody has put below the prefix is a part of the view, is left alone, or is an error that names
// the key.
func FuzzEnter(f *testing.F) {
	f.Add("record", `{"number":4,"node":"a","begun":4,"tid":"03f8658005555555"}`)
	f.Add("office", `{"node":"a","name":"db1","epoch":4,"heard":4,"tid":"00","leads":true,"able":true}`)
	f.Add("members/a", `{"node":"a","time":"2026-11-23T10:00:00Z"}`)
	f.Add("maintenance", `{"on":true,"by":"x","time":"2026-11-23T10:00:00Z"}`)
	f.Add("else", `[`)
	c := &Client{prefix: "/zrsd/x/"}
	f.Fuzz(func(t *testing.T, key, value string) {
		var v lease.View
		kv := &mvccpb.KeyValue{Key: []byte(c.prefix + key), Value: []byte(value), ModRevision: 7}
		if err := c.addToView(&v, kv); err != nil {
			return
		}
		for _, m := range v.Members {
			if m.Revision != 7 {
				t.Errorf("%s became %+v", key, m)
			}
		}
	})
}
