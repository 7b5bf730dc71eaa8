// Package gen writes the reference of a configuration, in Markdown and as a JSON Schema, from
// its structs: their doc comments, tags and default values. Only tests use it; they hold the
// files in the tree against what it writes.
package gen

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"scry/internal/config"
)

// Comments are the doc comments of structs and their fields, by stream.KafkaConfig and
// stream.KafkaConfig.Brokers.
type Comments map[string]string

// ReadComments parses the Go files in dirs.
func ReadComments(dirs ...string) (Comments, error) {
	comments := make(Comments)
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				return nil, fmt.Errorf("comments: %w", err)
			}
			for _, d := range parsed.Decls {
				if decl, ok := d.(*ast.GenDecl); ok {
					comments.addTypes(parsed.Name.Name, decl)
				}
			}
		}
	}
	return comments, nil
}

func (c Comments) addTypes(pkg string, decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		s, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		c[pkg+"."+t.Name.Name] = oneLine(decl.Doc)
		for _, field := range s.Fields.List {
			for _, name := range field.Names {
				c[pkg+"."+t.Name.Name+"."+name.Name] = oneLine(field.Doc)
			}
		}
	}
}

func oneLine(g *ast.CommentGroup) string {
	return strings.Join(strings.Fields(g.Text()), " ")
}

// Of returns what is said of a key, or of a section's type, in the file's words: it begins
// with the key instead of the Go name.
func (c Comments) Of(k config.Key) string {
	name, text := k.Field.Name, c[k.Owner.String()+"."+k.Field.Name]
	if text == "" && k.Section {
		name, text = k.Field.Type.Name(), c[k.Field.Type.String()]
	}
	if rest, ok := strings.CutPrefix(text, name+" "); ok {
		return k.Path[strings.LastIndexByte(k.Path, '.')+1:] + " " + rest
	}
	return text
}

var defaultSentence = regexp.MustCompile(` ?Default: (.+?)\.( |$)`)

// splitDefault takes the sentence "Default: the pipeline's name." out of a comment.
func splitDefault(comment string) (rest, text string) {
	m := defaultSentence.FindStringSubmatchIndex(comment)
	if m == nil {
		return comment, ""
	}
	return comment[:m[0]] + comment[m[1]:], comment[m[2]:m[3]]
}

// value is what a key takes, with its bounds: "a duration from 1s to 30m".
func value(k config.Key) string {
	if enum := k.Enum(); enum != nil {
		for i, e := range enum {
			if e == "" {
				e = `""`
			}
			enum[i] = "`" + e + "`"
		}
		return strings.Join(enum, ", ")
	}
	least, most := k.Bounds()
	switch {
	case least != "" && most != "":
		return k.Kind() + " from " + least + " to " + most
	case least != "":
		return k.Kind() + ", at least " + least
	case most != "":
		return k.Kind() + ", at most " + most
	}
	return k.Kind()
}

func isSecret(k config.Key) bool { return k.Field.Type == reflect.TypeFor[config.Secret]() }
