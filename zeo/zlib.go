package zeo

import "github.com/zrsd/zrsd/internal/zlibrecord"

// unpacked returns a record of the file as clients see it.
func (c *client) unpacked(record []byte) ([]byte, error) {
	return c.storage.unpacked(record, c.srv.opt.MaxMessage)
}

// asClientsSee is unpacked for what a load has returned.
func (c *client) asClientsSee(record []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return c.unpacked(record)
}

func (s *storage) unpacked(record []byte, limit int64) ([]byte, error) {
	if !s.opt.Decompress {
		return record, nil
	}
	return zlibrecord.Unpack(record, min(limit, zlibrecord.Limit))
}

// packed returns a record of a client as it is to be in the file.
func (s *storage) packed(record []byte) []byte {
	if !s.opt.Compress || record == nil {
		return record
	}
	return zlibrecord.Pack(record)
}
