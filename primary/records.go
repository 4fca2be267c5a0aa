package primary

import "github.com/zrsd/zrsd/protocol"

// aboutRecords answers which of some revisions the data file has now.
func (c *native) aboutRecords(query *protocol.RecordQuery) (*protocol.RecordAnswer, error) {
	if err := query.Check(); err != nil {
		return nil, goodbye("a question about records: %v", err)
	}
	if c.p.opt.HasRevision == nil {
		return &protocol.RecordAnswer{Unknown: "it does not tell which records it has"}, nil
	}
	answer := new(protocol.RecordAnswer)
	i := 0
	for oid, tid := range query.All() {
		there, err := c.p.opt.HasRevision(oid, tid)
		if err != nil {
			c.log.Info("a record that another node asks for cannot be looked up", "oid", oid, "tid", tid, "error", err)
			return &protocol.RecordAnswer{Unknown: "a record cannot be read"}, nil
		}
		if there {
			answer.There = append(answer.There, i)
		}
		i++
	}
	return answer, nil
}
