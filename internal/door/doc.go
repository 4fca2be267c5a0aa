// Package door bounds what connections cost a server before it knows who is there: how many there are (Room), and how
// many lines they put into the log (Quiet). Both count by Source, so that one host, or one IPv6 network, counts once.
//
// Nobody is turned away at the door. Where there is no room, the oldest connection that has proved nothing yet makes
// way for the newest: strangers take places from each other, never from those who have proved who they are, and
// whoever can prove it gets in.
//
// The package starts no goroutine. A Room and a Quiet may be used concurrently.
package door
