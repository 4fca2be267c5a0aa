package compare

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// records compares all records of two transactions of the same tid.
func (c *comparison) records(a, b zodb.Transaction) (*Difference, error) {
	for {
		ra, err := nextRecord(a)
		if err != nil {
			return nil, fmt.Errorf("reading transaction %v of A: %w", c.tid, err)
		}
		rb, err := nextRecord(b)
		if err != nil {
			return nil, fmt.Errorf("reading transaction %v of B: %w", c.tid, err)
		}
		switch {
		case ra == nil && rb == nil:
			return nil, nil //nolint:nilnil // no difference and no error is the good end
		case rb == nil:
			return c.differ(FieldRecord, &ra.Oid, "it", "no record any more"), nil
		case ra == nil:
			return c.differ(FieldRecord, &rb.Oid, "no record any more", "it"), nil
		}
		if d, err := c.record(ra, rb); d != nil || err != nil {
			return d, err
		}
		c.res.Records++
	}
}

// nextRecord returns nil after the last one.
func nextRecord(txn zodb.Transaction) (*zodb.Record, error) {
	rec, err := txn.NextRecord()
	if errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // no record is an answer, and what both sides may have
	}
	return rec, err
}

func (c *comparison) record(a, b *zodb.Record) (*Difference, error) {
	oid := a.Oid
	switch {
	case a.Oid != b.Oid:
		return c.differ(FieldRecord, &oid, "it", "a record of oid "+b.Oid.String()+" in its place"), nil
	case a.Tid != b.Tid:
		return c.differ(FieldRecordTid, &oid, a.Tid.String(), b.Tid.String()), nil
	case a.Size != b.Size:
		return c.differ(FieldData, &oid, sizeText(a.Size), sizeText(b.Size)), nil
	}
	if a.Size > 0 {
		at, err := c.content(a.Data, b.Data, a.Size)
		if err != nil {
			return nil, fmt.Errorf("oid %v tid %v: %w", oid, c.tid, err)
		}
		if at >= 0 {
			other := fmt.Sprintf("other bytes from offset %d on", at)
			return c.differ(FieldData, &oid, sizeText(a.Size), other), nil
		}
	}
	return c.blob(a, b)
}

func (c *comparison) blob(a, b *zodb.Record) (*Difference, error) {
	oid := a.Oid
	switch {
	case a.Blob == nil && b.Blob == nil:
		return nil, nil //nolint:nilnil // no difference and no error is the good end
	case a.Blob == nil && c.opt.PartialA, b.Blob == nil && c.opt.PartialB:
		c.res.NotHere++
		return nil, nil //nolint:nilnil // what is elsewhere may be the same
	case a.Blob == nil || b.Blob == nil || a.BlobSize != b.BlobSize:
		return c.differ(FieldBlob, &oid, blobText(a), blobText(b)), nil
	}
	at, err := c.content(a.Blob, b.Blob, a.BlobSize)
	if err != nil {
		return nil, fmt.Errorf("blob of oid %v tid %v: %w", oid, c.tid, err)
	}
	if at >= 0 {
		return c.differ(FieldBlob, &oid, blobText(a), fmt.Sprintf("other bytes from offset %d on", at)), nil
	}
	c.res.Blobs++
	return nil, nil //nolint:nilnil // no difference and no error is the good end
}

// content returns the offset of the first byte that differs in the next n, -1 when none does.
func (c *comparison) content(a, b io.Reader, n int64) (int64, error) {
	for done := int64(0); done < n; {
		pa := c.bufA[:min(n-done, int64(len(c.bufA)))]
		pb := c.bufB[:len(pa)]
		if _, err := io.ReadFull(a, pa); err != nil {
			return 0, fmt.Errorf("reading A: %w", err)
		}
		if _, err := io.ReadFull(b, pb); err != nil {
			return 0, fmt.Errorf("reading B: %w", err)
		}
		if !bytes.Equal(pa, pb) {
			for i := range pa {
				if pa[i] != pb[i] {
					return done + int64(i), nil
				}
			}
		}
		done += int64(len(pa))
	}
	return -1, nil
}

func sizeText(n int64) string {
	if n == zodb.NoData {
		return "no data"
	}
	return fmt.Sprintf("%d bytes", n)
}

func blobText(r *zodb.Record) string {
	if r.Blob == nil {
		return "no blob file"
	}
	return fmt.Sprintf("a blob of %d bytes", r.BlobSize)
}
