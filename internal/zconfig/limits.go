package zconfig

// Bounds on what a configuration may cost. A hundred times what is seen in the field.
const (
	maxFile     = 1 << 20  // bytes of one file
	maxLine     = 64 << 10 // bytes of one line, and of one value after replacement
	maxText     = 16 << 20 // bytes of all values together, after replacement
	maxIncludes = 16       // files that include each other, one inside the other
	maxFiles    = 256      // files read, each as often as it is included
	maxDepth    = 32       // sections inside sections
	maxElements = 100_000  // keys, sections and definitions
	maxErrors   = 50       // reported; reading stops there
)
