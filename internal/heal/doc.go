// Package heal replaces what is damaged in a copy of a storage by what another node has. It is told where damage was
// found (verify.Suspect), and works through it, one part after the other:
//
//	local file, patched ◀── differences ── other node, by the ranges that it gives to who asks about its history
//	        │
//	        ▼
//	verify.Copy.Prove      structure, hash chain against the checkpoints that this node noted when the transactions
//	        │              were committed, checksums of blocks that a verification noted
//	        ▼
//	filestorage.Repair     damaged bytes to quarantine/, plan, write
//
// Nothing of another node is believed: what proves the bytes was noted here. A node whose history is another one, or
// whose copy is damaged at the same place, is passed over. Where nothing was noted nothing is replaced.
//
// A node that was packed at another time has other offsets. It gives data of records by oid and tid, and texts of
// transactions, which are put into their places here and proved in the same way: see records.go.
package heal
