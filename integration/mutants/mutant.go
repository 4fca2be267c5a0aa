package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

type state int

const (
	untried   state = iota
	unreached       // no test comes by
	killed
	hung
	survived
)

// A mutant is one change of the code.
type mutant struct {
	number   int
	file, in string // the file and the function
	what     string
	lines    [2]int // where it begins and ends
	fragile  bool   // it may not compile, as - between texts
	state    state
}

func (m *mutant) String() string {
	return fmt.Sprintf("`%s` %s: %s", filepath.Base(m.file), m.in, m.what)
}

// An edit puts text before and after a part of the source.
type edit struct {
	from, to      int
	before, after string
	m             *mutant
}

// A changer collects the changes of one file.
type changer struct {
	file  string
	src   []byte
	set   *token.FileSet
	in    string
	edits []edit
	next  *int
	drop  map[int]bool // numbers that do not compile
}

func (c *changer) text(n ast.Node) string {
	return string(c.src[c.offset(n.Pos()):c.offset(n.End())])
}

func (c *changer) offset(p token.Pos) int { return c.set.Position(p).Offset }

// add notes a change of a node. The formats get its number.
func (c *changer) add(n ast.Node, fragile bool, before, after, what string, args ...any) {
	*c.next++
	number := *c.next
	if c.drop[number] {
		return
	}
	m := &mutant{number: number, file: c.file, in: c.in, what: fmt.Sprintf(what, args...), fragile: fragile,
		lines: [2]int{c.set.Position(n.Pos()).Line, c.set.Position(n.End()).Line}}
	on := fmt.Sprintf("mutantIs(%d)", number)
	c.edits = append(c.edits, edit{c.offset(n.Pos()), c.offset(n.End()), strings.ReplaceAll(before, "ON", on),
		strings.ReplaceAll(after, "ON", on), m})
}

// visit is called for each node of a function.
func (c *changer) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		c.in = n.Name.Name
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.ArrayType, *ast.FuncType:
		return false
	case *ast.BlockStmt:
		c.statements(n.List)
	case *ast.CaseClause:
		c.statements(n.Body)
	case *ast.CommClause:
		c.statements(n.Body)
	case *ast.IfStmt:
		c.condition(n.Cond)
	case *ast.ForStmt:
		c.condition(n.Cond)
	case *ast.SwitchStmt:
		c.cases(n)
	case *ast.BinaryExpr:
		c.binary(n)
	}
	return true
}

func (c *changer) cases(n *ast.SwitchStmt) {
	if n.Tag != nil {
		return
	}
	for _, s := range n.Body.List {
		if clause, ok := s.(*ast.CaseClause); ok {
			for _, e := range clause.List {
				c.condition(e)
			}
		}
	}
}

func (c *changer) condition(e ast.Expr) {
	if e != nil {
		c.add(e, false, "(ON != (", "))", "`%s` negated", c.short(e))
	}
}

// binary changes where a comparison ends, leaves out a side of a condition, and takes the inverse of an operation.
func (c *changer) binary(n *ast.BinaryExpr) {
	x, y := c.text(n.X), c.text(n.Y)
	if strings.Contains(x+y, "\n") {
		return
	}
	switch n.Op {
	case token.LSS, token.GTR:
		c.add(n, false, "(", fmt.Sprintf(" || ON && (%s) == (%s))", x, y), "`%s` with `%s=`", c.short(n), n.Op)
	case token.LEQ, token.GEQ:
		c.add(n, false, "(", fmt.Sprintf(" && !(ON && (%s) == (%s)))", x, y), "`%s` without `=`", c.short(n))
	case token.LAND:
		c.add(n.X, false, "(ON || ", ")", "`%s` without `%s`", c.short(n), c.short(n.X))
		c.add(n.Y, false, "(ON || ", ")", "`%s` without `%s`", c.short(n), c.short(n.Y))
	case token.LOR:
		c.add(n.X, false, "(!ON && (", "))", "`%s` without `%s`", c.short(n), c.short(n.X))
		c.add(n.Y, false, "(!ON && (", "))", "`%s` without `%s`", c.short(n), c.short(n.Y))
	case token.ADD, token.SUB:
		other := map[token.Token]token.Token{token.ADD: token.SUB, token.SUB: token.ADD}[n.Op]
		c.add(n, true, "mutantOr(ON, ", fmt.Sprintf(", (%s) %s (%s))", x, other, y), "`%s` with `%s`", c.short(n),
			other)
	}
}

// statements leaves out one statement at a time.
func (c *changer) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok && c.text(call.Fun) == "panic" {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt:
		default:
			continue
		}
		c.add(s, false, "if !ON { ", " }", "`%s` left out", c.short(s))
	}
}

// short is the source of a node on one line.
func (c *changer) short(n ast.Node) string {
	text := []rune(strings.Join(strings.Fields(c.text(n)), " "))
	if len(text) > 70 {
		text = append(text[:67], []rune("...")...)
	}
	return string(text)
}

// changed returns the source with all changes in it, each after its number. No line moves.
func (c *changer) changed() []byte {
	type insert struct {
		at, span int
		text     string
		closing  bool
		order    int
	}
	var inserts []insert
	for i, e := range c.edits {
		inserts = append(inserts, insert{e.from, e.to - e.from, e.before, false, i},
			insert{e.to, e.to - e.from, e.after, true, i})
	}
	slices.SortStableFunc(inserts, func(a, b insert) int {
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.closing != b.closing: // what ends here ends before something begins
			if a.closing {
				return -1
			}
			return 1
		case a.closing && a.span != b.span:
			return a.span - b.span // the inner one ends first
		case !a.closing && a.span != b.span:
			return b.span - a.span // the outer one begins first
		case a.closing:
			return b.order - a.order
		}
		return a.order - b.order
	})
	var out []byte
	at := 0
	for _, in := range inserts {
		out = append(append(out, c.src[at:in.at]...), in.text...)
		at = in.at
	}
	return append(out, c.src[at:]...)
}
