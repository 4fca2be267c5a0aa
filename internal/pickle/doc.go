// Package pickle reads and writes Python pickles as data: it never imports, calls or creates anything that a pickle
// names.
//
// A pickle is a program for a stack machine:
//
//	80 03        protocol 3
//	58 n.. k     push text                          Load runs it on a stack of Values: what would call Python code
//	43 n b       push bytes                         becomes a description of the call, so that a value that is
//	86           make a tuple of the two            not understood leaves Dump as it entered Load.
//	2e           stop
//
// # Values
//
//	Python                      here
//	None, True, 1, 2**70, 1.5   nil, bool, int64, *big.Int (only above 64 bits), float64
//	str                         string: UTF-8, lone surrogates in three bytes as Python writes them
//	bytes                       Bytes
//	str of Python 2             ByteString: text or bytes, only its reader knows
//	tuple, list, dict           Tuple, *List, *Dict (in order)
//	a class or function         Global, or Extension for one with a registered number
//	an object of any class      *Object: how it is made, its state, and what is put into it
//	a persistent reference      Persistent
//
// A list, dict or object that a pickle mentions twice, by its memo, is one pointer in two places, and it may contain
// itself. The two calls that pickles of bytes consist of in protocols below 3 are known and give Bytes:
// _codecs.encode(text, 'latin1') and bytes(). Names that Python 3 has changed are those of Python 3, whichever wrote
// them.
//
// # Bounds
//
// Load takes time and memory in proportion to the pickle: sizes are compared with the remaining bytes before anything
// is allocated, the memo shares instead of copying, and the number of values and their nesting are limited. Dump writes
// a shared value as often as it is mentioned, unless its style has a memo, so its output is limited too.
package pickle
