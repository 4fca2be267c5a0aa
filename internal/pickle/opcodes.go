package pickle

// The opcodes, by their names in Python's pickletools.
const (
	opMark       = '('
	opStop       = '.'
	opPop        = '0'
	opPopMark    = '1'
	opDup        = '2'
	opFloat      = 'F'
	opInt        = 'I'
	opBinInt     = 'J'
	opBinInt1    = 'K'
	opLong       = 'L'
	opBinInt2    = 'M'
	opNone       = 'N'
	opPersID     = 'P'
	opBinPersID  = 'Q'
	opReduce     = 'R'
	opString     = 'S'
	opBinString  = 'T'
	opShortStr   = 'U'
	opUnicode    = 'V'
	opBinUnicode = 'X'
	opAppend     = 'a'
	opBuild      = 'b'
	opGlobal     = 'c'
	opDict       = 'd'
	opEmptyDict  = '}'
	opAppends    = 'e'
	opGet        = 'g'
	opBinGet     = 'h'
	opInst       = 'i'
	opLongGet    = 'j'
	opList       = 'l'
	opEmptyList  = ']'
	opObj        = 'o'
	opPut        = 'p'
	opBinPut     = 'q'
	opLongPut    = 'r'
	opSetItem    = 's'
	opTuple      = 't'
	opEmptyTuple = ')'
	opSetItems   = 'u'
	opBinFloat   = 'G'

	opProto    = 0x80 // protocol 2
	opNewObj   = 0x81
	opExt1     = 0x82
	opExt2     = 0x83
	opExt4     = 0x84
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewTrue  = 0x88
	opNewFalse = 0x89
	opLong1    = 0x8a
	opLong4    = 0x8b

	opBinBytes   = 'B' // protocol 3
	opShortBytes = 'C'

	opShortUnicode = 0x8c // protocol 4
	opBinUnicode8  = 0x8d
	opBinBytes8    = 0x8e
	opEmptySet     = 0x8f
	opAddItems     = 0x90
	opFrozenSet    = 0x91
	opNewObjEx     = 0x92
	opStackGlobal  = 0x93
	opMemoize      = 0x94
	opFrame        = 0x95

	opByteArray8     = 0x96 // protocol 5
	opNextBuffer     = 0x97
	opReadOnlyBuffer = 0x98
)

// maxProtocol is the highest protocol that is read.
const maxProtocol = 5

// maxLongLen is how many bytes an integer may have.
const maxLongLen = 1024
