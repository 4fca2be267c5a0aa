// Package network connects the members of a cluster that runs on one machine, and its clients, and can interrupt
// these connections.
//
//	member a ──▶ Gate of b's port ──▶ link a–b ──▶ b listens
//	clients  ──▶ Gate of b's port ──▶ link b–clients ──▶ b listens
//
// Gates and listeners are Unix sockets, so the system knows which process has connected: that decides by which link its
// connection goes, wherever the address came from. A link has one Condition for both directions.
//
//	Open     everything passes, after Delay
//	Cut      connections end, and new ones are refused at once: as when a firewall rejects
//	Silent   nothing passes, and no connection ends: as when a cable is pulled. What was sent before is not lost, it
//	         comes when the link is open again, if both ends are still there
package network
