// Package packplan decides when packs by schedule are made, and by which node of a cluster.
//
// A schedule is that of a crontab. All nodes of a cluster have one, and that of the primary counts: at a scheduled time
// it begins a round. In a round each node that has a schedule packs once, the primary first, then the others in the
// order of their names, all to the same time. The primary says in what it tells other nodes whose turn it is, and gives
// the next turn when the node has said that it is done. A node packs in its turn only, so that no two do at once:
//
//	primary    turn of db1: packs ──► turn of db2 ───────────────────► turn of db3 ─► … ─► nobody's
//	db2                               claims, asks again, packs, done
//
// No turn is given while a node does not answer, is behind, or takes the data file as it is, and while any node packs
// for another reason. A time that could not be begun within Late is given up; so is a round that has not ended when the
// next time comes, or within a day. Of what is left out a warning says why, until a round is completed.
//
// What a round has done is in the records of the nodes, not of the primary: after a switchover the new primary finds
// out from the others which time is under way, and who has still to pack.
//
// Each node keeps its record in a file beside the Data.fs, with the suffix .packs.zrsd: one JSON object, which a crash
// leaves as it was or as it is to be. A record that is lost costs one pack at most.
//
//	{"format": 1, "since": TIME, "done": TIME, "ended": TIME, "failed": TEXT, "left_out": {"time": TIME, "why": …}}
//
// The package packs nothing and asks nobody: package node does, and calls Decide with what it knows.
package packplan
