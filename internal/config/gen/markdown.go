package gen

import (
	"fmt"
	"io"
	"strings"

	"scry/internal/config"
)

// Markdown writes one table of keys a section. defaults is the configuration struct with its
// defaults, prefix that of the environment variables.
func Markdown(w io.Writer, defaults any, comments Comments, prefix string) error {
	var b strings.Builder
	keys := config.Keys(defaults)
	b.WriteString("## Top level\n\n")
	table(&b, keys, "", comments, prefix)
	for _, k := range keys {
		if !k.Section {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", k.Path, cell(comments.Of(k)))
		table(&b, keys, k.Path, comments, prefix)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table lists the keys right below a section.
func table(b *strings.Builder, keys []config.Key, section string, comments Comments, prefix string) {
	b.WriteString("| key | value | default | meaning | environment |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		outer := ""
		if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
			outer = k.Path[:i]
		}
		if k.Section || outer != section {
			continue
		}
		meaning, text := splitDefault(comments.Of(k))
		switch {
		case text != "":
		case k.Text() != "":
			text = "`" + k.Text() + "`"
		case k.Required():
			text = "**required**"
		default:
			text = "none"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | `%s` |\n", k.Path, value(k), cell(text), cell(meaning), k.Env(prefix))
	}
}

var cellEscapes = strings.NewReplacer("|", `\|`, "<", "&lt;")

func cell(text string) string { return cellEscapes.Replace(text) }
