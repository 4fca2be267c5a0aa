package node

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/mount"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
)

func (c *Config) mounts() *mount.Storage {
	s := &mount.Storage{FS: c.FS, Data: c.Data, Expected: c.ExpectData}
	if !c.SharedBlobs {
		s.Blobs = c.Blobs
	}
	return s
}

// checkMounts says that a disk of the node is not mounted, before anything is written. A secondary has the other nodes
// show that, too: for them it would only be away.
func (s *session) checkMounts(ctx context.Context) error {
	s.status.waits("looking whether the disks are mounted")
	err := s.c.mounts().Check()
	if err == nil {
		return nil
	}
	var away *mount.Error
	if errors.As(err, &away) && s.starts == state.RoleSecondary {
		s.reportTrouble(ctx, protocol.TroubleNotMounted, away.Error())
	}
	return &StartError{Err: err}
}

// reportTrouble tells all nodes of the command line why this one does not start. Who does not listen is no reason to
// wait.
func (s *session) reportTrouble(ctx context.Context, kind, text string) {
	ctx, cancel := context.WithTimeout(ctx, reseedLook)
	defer cancel()
	req := &protocol.StatusRequest{
		Version: protocol.MessageVersion, Run: s.self, Name: s.status.base.Name, ReplicationAddr: s.replicationAddr,
		Trouble: kind, TroubleText: text,
	}
	var all sync.WaitGroup
	for _, e := range s.cfg.ReplicateFrom {
		all.Go(func() {
			if err := s.tell(ctx, e, req); err != nil {
				s.c.Logger.Debug("cannot tell a node why this one does not start", "address", e.String(), "error", err)
			}
		})
	}
	all.Wait()
}

func (s *session) tell(ctx context.Context, e endpoint.Endpoint, req *protocol.StatusRequest) error {
	copied := *req // its checksum is made when it is sent
	dial := func(ctx context.Context) (net.Conn, error) { return s.c.dialServer(ctx, e.String()) }
	_, err := protocol.Ask(ctx, dial, s.c.read.secret, &copied, protocol.SessionOptions{})
	return err
}

// mark makes the markers of the disks, once it is known which storage this is. Without them the node works as well.
func (f *files) mark() {
	if f.marked || f.keep == nil || f.keep.State() == nil {
		return
	}
	f.marked = true
	if err := f.c.mounts().Mark(f.keep.State().StorageID); err != nil {
		f.c.Logger.Warn("cannot mark the disks of this node: when one of them is not mounted at a later start, that "+
			"may not be noticed", "error", err, "warning", warning.FilesWrong)
	}
}
