package node

import (
	"errors"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
)

// chain begins to keep the digests over the history of src, with the state of keep. The caller closes it before src.
func (c *Config) chain(src hashchain.Source, keep *state.Keeper) *hashchain.Local {
	opt := hashchain.Options{Logger: c.Logger, Save: func(chain state.Chain) error {
		err := keep.Update(func(id *state.State) error { id.Chain = chain; return nil })
		if errors.Is(err, state.ErrNoState) { // of a secondary that has not met its primary
			return nil
		}
		return err
	}}
	if id := keep.State(); id != nil {
		opt.Saved = id.Chain
	}
	return hashchain.Keep(src, opt)
}

// showChain fills in how far the digests over the history are.
func showChain(out *admin.Storage, chain *hashchain.Local) {
	st := chain.Status()
	out.Chain = &admin.Chain{Behind: st.Behind}
	if st.Known {
		out.Chain.Base, out.Chain.Tid, out.Chain.Count = &st.Base, &st.Head.Tid, &st.Head.Count
		out.Chain.Value = &st.Head.Value
	}
}
