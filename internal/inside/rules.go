package inside

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// Rules say which classes are to be called otherwise.
type Rules struct {
	Renames map[Class]Class
	Objects map[zodb.Oid]Class // of single objects, and of all references to them
	// ByRecord has each reference name the class that the record of its object says, after renaming.
	ByRecord bool
}

// Empty reports whether there is nothing to do.
func (r *Rules) Empty() bool { return len(r.Renames)+len(r.Objects) == 0 && !r.ByRecord }

const maxRules = 1_000_000

// The forms of a rule:
//
//	old.mod Old = new.mod New            a class has another name
//	'old.mod Old': 'new.mod New',        the same, in a file that zodbupdate -s has written
//	0x1f = new.mod New                   an object, and all references to it, have this class
//	* = record                           references have the class that the records of their objects say
var (
	quotedRule = regexp.MustCompile(`'([^']*)':\s*'([^']*)'`)
	objectRule = regexp.MustCompile(`^0x([0-9a-fA-F]{1,16})$`)
)

// ReadRules reads a file of rules. Lines that begin with # are comments.
func ReadRules(in io.Reader) (*Rules, error) {
	r := &Rules{Renames: make(map[Class]Class), Objects: make(map[zodb.Oid]Class)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if err := r.line(strings.TrimSpace(lines.Text())); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(r.Renames)+len(r.Objects) > maxRules {
			return nil, fmt.Errorf("more than %d rules", maxRules)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return r, r.check()
}

func (r *Rules) line(line string) error {
	if quoted := quotedRule.FindAllStringSubmatch(line, -1); quoted != nil {
		for _, m := range quoted {
			if err := r.rule(m[1], m[2]); err != nil {
				return err
			}
		}
		return nil
	}
	// What is around the rules in a file of zodbupdate: renames = {…}
	if line == "" || strings.HasPrefix(line, "#") || line == "}" || strings.HasPrefix(line, "renames =") {
		return nil
	}
	left, right, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("%.80q is not a rule such as: old.module Old = new.module New", line)
	}
	return r.rule(strings.TrimSpace(left), strings.TrimSpace(right))
}

func (r *Rules) rule(left, right string) error {
	if left == "*" && right == "record" {
		r.ByRecord = true
		return nil
	}
	to, err := parseClass(right)
	if err != nil {
		return err
	}
	if m := objectRule.FindStringSubmatch(left); m != nil {
		oid, err := zodb.ParseOid(strings.Repeat("0", 16-len(m[1])) + strings.ToLower(m[1]))
		if err != nil {
			return err
		}
		if other, there := r.Objects[oid]; there && other != to {
			return fmt.Errorf("object %v is to be %v and %v", oid, other, to)
		}
		r.Objects[oid] = to
		return nil
	}
	from, err := parseClass(left)
	if err != nil {
		return err
	}
	if other, there := r.Renames[from]; there && other != to {
		return fmt.Errorf("%v is to be %v and %v: name the objects of one of them, by their oids", from, other, to)
	}
	r.Renames[from] = to
	return nil
}

func parseClass(text string) (Class, error) {
	parts := strings.Fields(text)
	if len(parts) != 2 {
		return Class{}, fmt.Errorf("%.80q is not a module and a class with a space between them", text)
	}
	return Class{parts[0], parts[1]}, nil
}

var errChain = errors.New("give the last name in each rule")

// check refuses rules that depend on their order.
func (r *Rules) check() error {
	for from, to := range r.Renames {
		if next, there := r.Renames[to]; there && next != to {
			return fmt.Errorf("%v is to be %v, which is to be %v: %w", from, to, next, errChain)
		}
	}
	return nil
}

// renamed is what the rules make of a class wherever it is mentioned.
func (r *Rules) renamed(is Class) Class {
	if to, there := r.Renames[is]; there {
		return to
	}
	return is
}

// splitName reads a class as classNames has it.
func splitName(name string) Class {
	module, class, _ := strings.Cut(name, "\n")
	return Class{module, class}
}
