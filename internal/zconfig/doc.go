// Package zconfig reads the syntax of ZConfig files, as runzeo and Zope are configured with, and the values in them. It
// knows no section and no key; package config does.
//
//	# a comment is a line of its own
//	%define INSTANCE /srv/zeo              names for values; case does not matter
//	%import zc.zrs                         a Python package that brings section types
//	%include $INSTANCE/more.conf           another file, relative to this one, in the middle of a section if need be
//	<zeo>                                  a section: type, and a name where it has one
//	  address  127.0.0.1:8100              a key, white space, a value to the end of the line
//	  pid-filename ${instance}/zeo.pid     $name and ${name}: a definition
//	  read-only $(ZEO_READ_ONLY)           $(NAME): from the environment; $$: a dollar
//	</zeo>
//	<filestorage main/>                    a section without content
//
// Types, section names, keys and names of definitions are the same in upper and lower case and come out in lower case.
// White space around a line and between key and value means nothing, whatever is in a value is part of it: there are
// no quotes, no comments at the end of a line, no continuation lines.
//
// Load returns a Tree in which every section, key and value knows its file, line and column, and all errors of all
// files at once: after a wrong line the next one is read. A tree with errors is of use only
// for finding more errors.
//
// # The reference
//
// The real ZConfig decides what is right; a test compares this package with it, on real files and random
// ones. Two rules that its documents do not state follow from it: a %define may be repeated if the text is the same as
// the value in force, and definitions of an included file hold after the %include. $(NAME:default), which some
// versions of the documents mention, is an error there and here.
//
// Sizes are bounded before anything is kept: see load.go. The real one has no bounds, not even on a file that
// includes itself.
package zconfig
