package config

import (
	"fmt"
	"strings"
)

// reference returns the tables as Markdown: the body of docs/configuration.md.
func reference() string {
	var out strings.Builder
	for _, t := range tables {
		t.describe(&out)
	}
	return out.String()
}

func (t *table) describe(out *strings.Builder) {
	switch {
	case t.typ == "":
		out.WriteString("## The file\n\n")
	case t.named:
		fmt.Fprintf(out, "## `<%s NAME>`\n\n", t.typ)
	default:
		fmt.Fprintf(out, "## `<%s>`\n\n", t.typ)
	}
	out.WriteString(t.doc + "\n\n")
	if len(t.sections) > 0 {
		fmt.Fprintf(out, "Sections inside: `<%s>`.\n\n", strings.Join(t.sections, ">`, `<"))
	}
	if len(t.keys) == 0 {
		return
	}
	out.WriteString("| Key | Type | Default | |\n|---|---|---|---|\n")
	for i := range t.keys {
		t.keys[i].describe(out)
	}
	out.WriteString("\n")
}

func (e *entry) describe(out *strings.Builder) {
	preset := "none"
	switch {
	case e.required:
		preset = "required"
	case e.preset != "":
		preset = "`" + e.preset + "`"
	}
	doc := e.doc
	if e.refused != "" {
		doc += " **Refused**: " + e.refused + "."
	}
	if e.ours {
		doc += " *Ours.*"
	}
	fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", e.name, e.kind, preset, doc)
}
