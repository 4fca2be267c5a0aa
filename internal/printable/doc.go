// Package printable makes text from elsewhere fit to be logged and shown: what is not printable is written as an
// escape, as in JSON. So no peer, client or file can begin a line of its own, send a terminal what it acts on, or turn
// the direction of what is read.
//
// Line is for one value in a line. Writer is for a place where text of many origins comes out: it leaves line ends and
// tabs alone.
package printable
