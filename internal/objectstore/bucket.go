package objectstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
)

const (
	digestKey = "sha256" // in an object's metadata, as 64 hexadecimal digits

	partLen     = 8 << 20 // of an upload in parts; as many bytes are in memory for each part under way
	partsAtOnce = 2       // of one upload
	maxParts    = 9000    // S3 takes 10,000
)

// A bucket is a place of objects at a provider.
type bucket struct {
	at   *blob.Bucket
	page int
}

func openBucket(ctx context.Context, u *url.URL, prefix string, page int) (*bucket, error) {
	var at *blob.Bucket
	var err error
	if u.Scheme == "s3" {
		at, err = openS3(ctx, u)
	} else {
		at, err = blob.OpenBucket(ctx, u.String())
	}
	if err != nil {
		return nil, err
	}
	if prefix != "" {
		at = blob.PrefixedBucket(at, prefix)
	}
	return &bucket{at, page}, nil
}

// put uploads content and then looks at what the store has made of it. Where the store tells no MD5, as for an upload
// in parts or an encrypted one, it is read back.
func (b *bucket) put(ctx context.Context, key string, c *checked) error {
	err := b.at.Upload(ctx, key, c, &blob.WriterOptions{
		ContentType:    "application/octet-stream",
		Metadata:       map[string]string{digestKey: hex.EncodeToString(c.sums.sha256[:])},
		BufferSize:     int(max(partLen, c.size/maxParts)),
		MaxConcurrency: partsAtOnce,
		ContentMD5:     c.sums.md5[:],
		IfNotExist:     true,
	})
	if err = classify(err); IsTemporary(err) && b.has(ctx, key) {
		return ErrExists
	}
	if err != nil {
		return err
	}
	attrs, err := b.at.Attributes(ctx, key)
	switch {
	case err != nil:
		return fmt.Errorf("look at what was uploaded: %w", classify(err))
	case attrs.Size != c.size:
		return fmt.Errorf("%w: the store has %d bytes of the %d that were sent", ErrDamaged, attrs.Size, c.size)
	case len(attrs.MD5) == 0:
		return b.readBack(ctx, key, c)
	case !bytes.Equal(attrs.MD5, c.sums.md5[:]):
		return fmt.Errorf("%w: the store has MD5 %x, and %x was sent", ErrDamaged, attrs.MD5, c.sums.md5)
	}
	return nil
}

// has reports whether the store has an object. It is asked after an upload that was not answered: what was uploaded may
// be there. And a server refuses what exists before it has read the content, which a gateway may turn into an error of
// its own.
func (b *bucket) has(ctx context.Context, key string) bool {
	there, err := b.at.Exists(ctx, key)
	return err == nil && there
}

func (b *bucket) readBack(ctx context.Context, key string, c *checked) error {
	r, _, err := b.read(ctx, key, 0, c.size)
	if err != nil {
		return fmt.Errorf("read back what was uploaded: %w", err)
	}
	got, err := sumOf(c.moved.reader(r), false)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read back what was uploaded: %w", classify(err))
	}
	if got.sha256 != c.sums.sha256 {
		return fmt.Errorf("%w: the store has SHA-256 %x, and %x was sent", ErrDamaged, got.sha256, c.sums.sha256)
	}
	return nil
}

func (b *bucket) stat(ctx context.Context, key string) (Object, error) {
	attrs, err := b.at.Attributes(ctx, key)
	if err != nil {
		return Object{}, classify(err)
	}
	o := Object{Key: key, Size: attrs.Size, Changed: attrs.ModTime}
	if sum, err := hex.DecodeString(attrs.Metadata[digestKey]); err == nil && len(sum) == len(o.SHA256) {
		o.SHA256, o.Digest = [32]byte(sum), true
	}
	return o, nil
}

func (b *bucket) read(ctx context.Context, key string, from, length int64) (io.ReadCloser, int64, error) {
	r, err := b.at.NewRangeReader(ctx, key, from, length, nil)
	if err != nil {
		return nil, 0, classify(err)
	}
	return r, r.Size(), nil
}

func (b *bucket) list(ctx context.Context, prefix string, token []byte) ([]Object, []byte, error) {
	if token == nil {
		token = blob.FirstPageToken
	}
	names, next, err := b.at.ListPage(ctx, token, b.page, &blob.ListOptions{Prefix: prefix})
	if err != nil {
		return nil, nil, classify(err)
	}
	page := make([]Object, 0, len(names))
	for _, n := range names {
		page = append(page, Object{Key: n.Key, Size: n.Size, Changed: n.ModTime})
	}
	return page, next, nil
}

func (b *bucket) remove(ctx context.Context, key string) error {
	return classify(b.at.Delete(ctx, key))
}

func (b *bucket) close() error { return b.at.Close() }
