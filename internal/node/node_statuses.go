package node

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/admin"
)

// nodeStatuses are what a process of several storages shows. It may be used concurrently.
type nodeStatuses []*member

func sourceOf(members []*member) admin.Source {
	if len(members) == 1 {
		return members[0].status
	}
	return nodeStatuses(members)
}

// Status is admin.Source: the document of the first storage, ready when all are, with the list of all.
func (fs nodeStatuses) Status() admin.Status {
	var st admin.Status
	var list []admin.Member
	var notReady *string
	for i, m := range fs {
		one := m.status.Status()
		if i == 0 {
			st = one
		}
		list = append(list, admin.Member{Name: m.name, Role: one.Role, Ready: one.Ready, NotReady: one.NotReady})
		if !one.Ready && notReady == nil {
			why := "not ready"
			if one.NotReady != nil {
				why = *one.NotReady
			}
			notReady = admin.Known(fmt.Sprintf("storage %s: %s", m.name, why))
		}
	}
	st.Storages, st.Ready, st.NotReady = list, notReady == nil, notReady
	return st
}

// Names is admin.Sources.
func (fs nodeStatuses) Names() (names []string) {
	for _, m := range fs {
		names = append(names, m.name)
	}
	return names
}

// Storage is admin.Sources.
func (fs nodeStatuses) Storage(name string) admin.Source {
	for _, m := range fs {
		if m.name == name {
			return m.status
		}
	}
	return nil
}
