package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/warning"
)

// A docBlock is what a page has between two lines of backquotes.
type docBlock struct{ page, text string }

var fenced = regexp.MustCompile("(?ms)^ *```[a-z]*\n(.*?)^ *```")

// docBlocks returns all blocks of the pages for people who use zrsd.
func docBlocks(t *testing.T) (blocks []docBlock) {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md") {
		for _, m := range fenced.FindAllStringSubmatch(readText(t, page), -1) {
			blocks = append(blocks, docBlock{filepath.Base(page), m[1]})
		}
	}
	return blocks
}

// docCommands returns the command lines of a block that call zrsd.
func docCommands(text string) (lines []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, " #")
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		if strings.HasPrefix(line, "zrsd ") && !strings.Contains(line, "…") {
			lines = append(lines, line)
		}
	}
	return lines
}

var docWord = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)

// words are the arguments of a command line up to what the shell takes for itself.
func words(line string) (args []string) {
	for _, word := range docWord.FindAllString(line, -1)[1:] {
		if strings.ContainsAny(word[:1], "|&;><") {
			break
		}
		if word[0] == '$' { // options that the page has said before
			continue
		}
		args = append(args, strings.Trim(word, `"'`))
	}
	return args
}

// Every command of the pages is one that zrsd takes as it is written.
func TestTheCommandsOfThePagesAreRightAsWritten(t *testing.T) {
	count := 0
	for _, block := range docBlocks(t) {
		for _, line := range docCommands(block.text) {
			count++
			args := words(line)
			if args[0] == "-C" {
				args = append([]string{runzeoName}, args...)
			}
			cmd, rest, err := rootCommand().Find(args)
			if err == nil && cmd.Name() == "zrsd" {
				err = errUnknown
			}
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %s: %v", block.page, line, err)
			}
		}
	}
	if count < 30 {
		t.Errorf("only %d commands were found", count)
	}
}

var cureCommand = regexp.MustCompile(`zrsd [a-z]+(?: (?:off|on|ADDR|--[a-z-]+|[A-Z]{2,}\b|etcd://\S+|Data\.fs)\b)*`)

// Every command that a warning tells to use is one that zrsd takes.
func TestTheCommandsOfCuresAreRight(t *testing.T) {
	count := 0
	for _, kind := range warning.Table {
		for _, line := range cureCommand.FindAllString(kind.Cure, -1) {
			args := words(line)
			cmd, rest, err := rootCommand().Find(args)
			if err == nil && cmd.Name() == "zrsd" {
				err = errUnknown
			}
			if err == nil && len(rest) > 0 { // a name alone is no command line
				count++
				if err = cmd.ParseFlags(rest); err == nil {
					err = cmd.ValidateArgs(cmd.Flags().Args())
				}
			}
			if err != nil {
				t.Errorf("%s: %s: %v", kind.Code, line, err)
			}
		}
	}
	if count < 3 {
		t.Errorf("only %d commands were found", count)
	}
}

var (
	errUnknown = errors.New("there is no such command")
	samplePath = regexp.MustCompile(
		`(?m)^\s*(?:path|blob-dir|pid-filename|certificate|key|authority|secret-file)\s+([^\s$]\S*)`)
	instance = regexp.MustCompile(`(?m)^%define INSTANCE (\S+)`)
	included = regexp.MustCompile(`(?m)^%include (\S+)`)
)

// provide makes the folders and files that a configuration in dir names.
func provide(t *testing.T, dir, text string) {
	t.Helper()
	t.Setenv("BLOBS", filepath.Join(dir, "blobs"))
	t.Chdir(dir)
	var paths []string
	for _, m := range samplePath.FindAllStringSubmatch(text, -1) {
		paths = append(paths, m[1])
	}
	for _, m := range instance.FindAllStringSubmatch(text, -1) {
		paths = append(paths, filepath.Join(m[1], "var", "Data.fs"))
	}
	for _, path := range paths {
		if strings.HasPrefix(path, dir) || !filepath.IsAbs(path) {
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, m := range included.FindAllStringSubmatch(text, -1) {
		if err := os.WriteFile(filepath.Join(dir, m[1]), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// Every configuration of the pages is one that zrsd takes, where its files are there.
func TestTheConfigurationsOfThePagesAreRightAsWritten(t *testing.T) {
	count := 0
	for _, block := range docBlocks(t) {
		if !strings.Contains(block.text, "<filestorage") || !strings.Contains(block.text, "path ") ||
			strings.Contains(block.text, "<zodb_db") {
			continue
		}
		count++
		dir := t.TempDir()
		text := strings.NewReplacer(" /", " "+dir+"/").Replace(block.text)
		provide(t, dir, text)
		path := filepath.Join(dir, "zeo.conf")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(path); err != nil {
			t.Errorf("%s: %v\n%s", block.page, err, block.text)
		}
	}
	if count < 3 {
		t.Errorf("only %d configurations were found", count)
	}
}
