package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shop is a configuration with a key of each kind.
type shop struct {
	Name string `yaml:"name"`
	base `yaml:",inline"`
	Door door `yaml:"door"`
}

type base struct {
	Kafka kafka `yaml:"kafka"`
}

type kafka struct {
	Brokers []string      `yaml:"brokers" required:"true"`
	Timeout time.Duration `yaml:"session_timeout" min:"1s" max:"30m"`
	Size    Bytes         `yaml:"size" min:"1MiB"`
	SASL    struct {
		User     string `yaml:"user"`
		Password Secret `yaml:"password"`
	} `yaml:"sasl"`
}

type door struct {
	URL   Secret            `yaml:"url" mask:"url"`
	Open  bool              `yaml:"open"`
	Share float64           `yaml:"share" min:"0" max:"1"`
	Color string            `yaml:"color" enum:"red,green"`
	Paths map[string]string `yaml:"paths"`
}

func defaults() shop {
	return shop{
		base: base{kafka{Brokers: []string{"localhost:9092"}, Timeout: 10 * time.Second, Size: 1 << 20}},
		Door: door{Color: "red"},
	}
}

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// load reads text and gives what Join makes of its faults, one line each.
func load(t *testing.T, text string, sets []string, vars ...string) (shop, *Provenance, string) {
	t.Helper()
	c := defaults()
	p, err := Load(Source{Path: write(t, text), Prefix: "SHOP", Env: env(vars...), Sets: sets}, &c)
	if err != nil {
		return c, nil, err.Error()
	}
	return c, p, p.Join(Check("", c)).Error()
}

func TestLoadEveryKind(t *testing.T) {
	c, _, faults := load(t, `
name: 0123
kafka:
  brokers: [a:1, "${TWO}", "$$${HOME:-x}$y"]
  session_timeout: 1m30s
  size: 64MiB
  sasl: {user: yes, password: "p$$w"}
door:
  url: ${URL:-redis://localhost}
  open: "true"
  share: 0.25
  color: green
  paths: {PageValues: page.value, a.b: "${TWO}"}
`, nil, "TWO", "b:2,c:3")
	if faults != "" {
		t.Fatal(faults)
	}
	want := shop{Name: "0123", Door: door{
		URL: "redis://localhost", Open: true, Share: 0.25, Color: "green",
		Paths: map[string]string{"PageValues": "page.value", "a.b": "b:2,c:3"},
	}}
	want.Kafka = kafka{Brokers: []string{"a:1", "b:2", "c:3", "$x$y"}, Timeout: 90 * time.Second, Size: 64 << 20}
	want.Kafka.SASL.User, want.Kafka.SASL.Password = "yes", "p$w"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %#v\nwant %#v", c, want)
	}
}

// Each case is a whole file and every fault it has.
func TestFaults(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"unknown", "kafka:\n  sesion_timeout: 1s", "line 2: kafka.sesion_timeout: unknown key; did you mean kafka.session_timeout?"},
		{"camel", "kafka:\n  sessionTimeout: 1s", "line 2: kafka.sessionTimeout: unknown key; did you mean kafka.session_timeout?"},
		{"elsewhere", "brokers: a:1", "line 1: brokers: unknown key; did you mean kafka.brokers?"},
		{"nothing near", "door: {bell: x}", "line 1: door.bell: unknown key; the keys of door are url, open, share, color, paths"},
		{"dotted", "kafka.brokers: a:1", "line 1: kafka.brokers: a key with a dot; write kafka: and below it, indented, brokers:"},
		{"no value of an unknown key", "kafka: {sasl: {pasword: hunter2}}", "line 1: kafka.sasl.pasword: unknown key; did you mean kafka.sasl.password?"},
		{"duration", "kafka: {session_timeout: soon}", `line 1: kafka.session_timeout: "soon": not a duration; write a duration such as 10s, 500ms or 1h30m`},
		{"unit", "kafka: {session_timeout: 10}", `line 1: kafka.session_timeout: "10": not a duration; write its unit: 10s, 10ms or 10h`},
		{"bool", "door: {open: yes}", `line 1: door.open: "yes": not a yes or no; write true or false`},
		{"number", "door: {share: .inf}", `line 1: door.share: ".inf": not a number; write a number such as 0.5`},
		{"size", "kafka: {size: 3 pages}", `line 1: kafka.size: "3 pages": "pages" is not a unit; write a number of bytes or a size such as 64MiB or 1GB`},
		{"list in a text", "name: [a]", "line 1: name: is a list; write a text"},
		{"section in a list", "kafka:\n  brokers:\n  - {a: 1}", "line 3: kafka.brokers[0]: is a section; write a text"},
		{"text as section", "kafka: localhost", "line 1: kafka: is a single value, not a section; write its keys indented below it: brokers, session_timeout, size, sasl"},
		{"null", "name: ~", `line 1: name: has no value; write one, "" for an empty one, or take the line out`},
		{"null section is empty", "kafka:\nname: x", ""},
		{"empty element", "kafka: {brokers: ['a,,b']}", `line 1: kafka.brokers[0]: "a,,b": has an empty element; take out the comma too many, or write [] for an empty list`},
		{"required", "kafka: {brokers: []}", "line 1: kafka.brokers: is required; write a list"},
		{"unread is not missed", "kafka: {brokers: {a: b}}", "line 1: kafka.brokers: is a section; write a list"},
		{"enum", "door:\n  color: blue", `line 2: door.color: "blue": not a value this key knows; write red or green`},
		{"low", "kafka: {session_timeout: -1s}", `line 1: kafka.session_timeout: "-1s": less than 1s; write a value from 1s to 30m`},
		{"high", "door: {share: 2}", `line 1: door.share: "2": more than 1; write a value from 0 to 1`},
		{"twice", "name: a\nkafka:\nname: b", "line 3: name: is already set on line 1; keep one of the two"},
		{"twice in a map", "door: {paths: {a: b, a: c}}", "line 1: door.paths.a: is already set on line 1; keep one of the two"},
		{"tag", "name: !secret x", "line 1: name: has the YAML tag !secret; take the tag out"},
		{"merge", "door: &d {open: true}\nkafka: {<<: *d}", "line 2: kafka.<<: merge keys are not supported; write the keys out"},
		{"list as a key", "? [a]\n: b", "line 1: a key that is a list; write a name, a colon and the value"},
		{"alias of itself", "kafka: &k {brokers: *k}", "line 1: kafka.brokers: is a section; write a list"},
		{"unset", "name: x\nkafka: {brokers: ['${B}']}", `line 2: kafka.brokers[0]: "${B}": the environment variable B is not set; set it, or give a default: ${B:-default}`},
		{"unclosed", "name: ${B", `line 1: name: "${B": a ${ without its }; close it, or write $${ for the characters themselves`},
		{"no variable", "name: ${B:?no}", `line 1: name: "${B:?no}": ${B:?no} does not name a variable; write ${NAME} or ${NAME:-default}, and $${ for the characters themselves`},
		{"nested", "name: ${B:-${C}}", `line 1: name: "${B:-${C}}": a variable inside the default of ${B}; write a plain default: variables do not nest`},
		{"secret", "kafka: {sasl: {password: 'hunter2${B}'}}", `line 1: kafka.sasl.password: "****": the environment variable B is not set; set it, or give a default: ${B:-default}`},
		{"variable as a key", "${B}: x", "line 1: ${B}: unknown key; the sections and keys are name, kafka, door"},
		{"empty", "", "the file is empty; start from examples/scry.yaml"},
		{"comments", "# nothing\n", "the file is empty; start from examples/scry.yaml"},
		{"tilde", "\n~", "line 2: the file says nothing; start from examples/scry.yaml"},
		{"list", "- a", "line 1: the file is a list, not keys and values; start from examples/scry.yaml"},
		{"two documents", "name: a\n---\nname: b", "line 2: a second YAML document begins here; keep one document a file"},
		{"syntax", "name: äöü€äöü€\nkafka: [\n# x", "line 3: not YAML: did not find expected node content; check the indentation, colons and quotes there"},
		{"control character", "name: äöü€\nb: \x00", "line 2: not YAML: control characters are not allowed (value: 0); check the indentation, colons and quotes there"},
		{"deep", strings.Repeat("[", 20000), "line 1: not YAML: exceeded max depth of 10000; check the indentation, colons and quotes there"},
		{"unknown anchor", "name: *a", "line 1: not YAML: unknown anchor 'a' referenced; check the indentation, colons and quotes there"},
		{"in the order of the lines", "name: [a]\nkafka:\n  size: x\n  session_timeout: 1ms\ndoor: {share: -1}\nnames: b",
			"line 1: name: is a list; write a text\n" +
				`line 3: kafka.size: "x": "x" is not a size; write a number of bytes or a size such as 64MiB or 1GB` + "\n" +
				`line 4: kafka.session_timeout: "1ms": less than 1s; write a value from 1s to 30m` + "\n" +
				`line 5: door.share: "-1": less than 0; write a value from 0 to 1` + "\n" +
				"line 6: names: unknown key; did you mean name?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, got := load(t, tc.file, nil); got != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

func TestFilesThatAreNoConfig(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):               "does not exist",
		dir:                                      "not a regular file",
		fifo:                                     "not a regular file",
		write(t, strings.Repeat("#", maxFile+1)): "larger than 1 MiB",
	} {
		_, err := Load(Source{Path: path, Env: env()}, &shop{})
		var f Fault
		if !errors.As(err, &f) || !strings.Contains(f.Problem, want) || f.Mend == "" {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestPrecedence(t *testing.T) {
	const file = "name: file\nkafka:\n  size: 2MiB\n  brokers: [a:1, b:2]\ndoor: {paths: {a: file, b: file}, color: '${C}', share: '${S:-0.1}'}"
	c, p, faults := load(t, file, []string{"name=flag", "name=flag2", "door.paths.a=x=y", "kafka.sasl.user=u=v"},
		"SHOP_NAME", "env", "SHOP_KAFKA_BROKERS", "c:3", "SHOP_DOOR_OPEN", "true", "SHOP_PORT", "tcp://1.2.3.4", "C", "green", "S", "")
	if faults != "" {
		t.Fatal(faults)
	}
	if c.Name != "flag2" || c.Kafka.SASL.User != "u=v" || c.Door.Paths["a"] != "x=y" || c.Door.Paths["b"] != "file" {
		t.Errorf("flags must win: %#v", c)
	}
	if !reflect.DeepEqual(c.Kafka.Brokers, []string{"c:3"}) || !c.Door.Open {
		t.Errorf("the environment must win over the file: %#v", c)
	}
	for path, want := range map[string]string{
		"name":                  "flag --set",
		"kafka.brokers":         "env SHOP_KAFKA_BROKERS",
		"kafka.size":            "shop.yaml:3",
		"kafka.session_timeout": "default",
		"door.color":            "shop.yaml:5, $C",
		"door.share":            "shop.yaml:5",
		"door.paths.a":          "flag --set",
		"door.paths.b":          "shop.yaml:5",
		"door.open":             "env SHOP_DOOR_OPEN",
	} {
		if got := p.Origin(path).Source; got != want {
			t.Errorf("%s comes from %q, want %q", path, got, want)
		}
	}
}

func TestFaultsFromOutsideTheFile(t *testing.T) {
	_, _, got := load(t, "name: x", []string{"nam=x", "kafka=x", "name", "kafka.sise.x=1", "kafka.sasl.password.x=hunter2"},
		"SHOP_DOOR_SHARE", "7", "SHOP_KAFKA_SIZE", "big", "SHOP_DOOR_PATHS", "a")
	want := `env SHOP_KAFKA_SIZE: kafka.size: "big": "big" is not a size; write a number of bytes or a size such as 64MiB or 1GB
env SHOP_DOOR_PATHS: door.paths: "a": not pairs; write key=value,key=value
flag --set: nam: unknown key; did you mean name?
flag --set: kafka: is a section; name one of its keys: brokers, session_timeout, size, sasl
flag --set: name: has no value; write --set key=value
flag --set: kafka.sise.x: unknown key; did you mean kafka.size?
flag --set: kafka.sasl.password.x: unknown key; kafka.sasl.password is no section: set it as a whole
env SHOP_DOOR_SHARE: door.share: "7": more than 1; write a value from 0 to 1`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestBounded(t *testing.T) {
	start := time.Now()
	long := strings.Repeat("x", 1<<17)
	bomb := "kafka:\n  brokers: [" + strings.Repeat("'${A}',", 1000) + "]"
	if _, _, got := load(t, bomb, nil, "A", long); !strings.Contains(got, "more than 4 MiB") {
		t.Errorf("a file of references to a long variable: %.200s", got)
	}
	var b strings.Builder
	for i := range 30000 {
		b.WriteString("key" + strings.Repeat("y", i%40) + string(rune('a'+i%26)) + ": 1\n")
	}
	if _, _, got := load(t, b.String(), nil); strings.Count(got, "\n") != maxFaults {
		t.Errorf("%d lines of faults, want %d", strings.Count(got, "\n"), maxFaults)
	}
	lol := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nname: *c"
	if _, _, got := load(t, lol, nil); !strings.Contains(got, "line 3: name: is a list") {
		t.Errorf("aliases of aliases: %s", got)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestPrintReadsBack(t *testing.T) {
	c, p, faults := load(t, "name: '${N}'\ndoor: {paths: {'a: b': '- #', true: '${N}'}, open: true}\nkafka: {brokers: ['[x]', 'null', 'a:1'], size: 1GB}",
		nil, "N", "it's a \"$$\" ${x}\n\ttwo \u2028lines")
	if faults != "" {
		t.Fatal(faults)
	}
	var b strings.Builder
	if err := p.Print(&b, c); err != nil {
		t.Fatal(err)
	}
	again, _, faults := load(t, b.String(), nil)
	if faults != "" || !reflect.DeepEqual(again, c) {
		t.Errorf("printed:\n%s\nread back: %#v\nwant: %#v\n%s", b.String(), again, c, faults)
	}
}

// What was printed lacks its secrets, and says so when it is read back.
func TestMaskIsNoSecret(t *testing.T) {
	for text, want := range map[string]string{
		"kafka:\n  sasl: {password: '****'}": "line 2: kafka.sasl.password: \"****\": is what is printed in a secret's place; write the secret itself, or ${VARIABLE}",
		"door: {url: 'redis://u:****@h/0'}":  "line 1: door.url: \"redis://u:****@h/0\": is what",
		"door: {url: 'redis://****@h'}":      "line 1: door.url: \"redis://****@h\": is what",
		"door: {url: 'redis://h?****'}":      "line 1: door.url: \"redis://h?****\": is what",
		"door: {url: '****'}":                "line 1: door.url: \"****\": is what",
		"door: {url: 'redis://u:a****@h/0'}": "",
		"door: {url: 'redis://h:1'}":         "",
		"kafka: {sasl: {password: '*****'}}": "",
		"kafka: {sasl: {user: '****'}}":      "",
	} {
		if _, _, got := load(t, text, nil); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if c, _, got := load(t, "kafka: {sasl: {password: '****'}}", nil, "SHOP_KAFKA_SASL_PASSWORD", "hunter2"); got != "" || c.Kafka.SASL.Password.Reveal() != "hunter2" {
		t.Errorf("given by the environment: %q", got)
	}
	if _, _, got := load(t, "name: x", []string{"kafka.sasl.password=****"}); !strings.HasPrefix(got, "flag --set: kafka.sasl.password: ") {
		t.Errorf("given by a flag: %q", got)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("name: x\nkafka: {brokers: [a:1], session_timeout: 10s, size: 1MiB}", "kafka.sasl.password=a", "x")
	f.Add("door: {url: '${A:-b}', paths: {a: b}}\n<<: *a", "door.paths.x=y", "a,b")
	f.Add("&a [*a]", "x", "$${A}")
	f.Fuzz(func(t *testing.T, file, set, variable string) {
		const secret = "hunter2hunter2"
		c := defaults()
		p, err := Load(Source{
			Path: write(t, file), Prefix: "SHOP", Sets: []string{set},
			Env: env("A", variable, "SHOP_KAFKA_SASL_PASSWORD", secret, "SHOP_DOOR_URL", "redis://u:"+secret+"@h/0"),
		}, &c)
		if err != nil {
			return
		}
		faults := p.Join(Check("", c))
		var b strings.Builder
		if err := p.Print(&b, c); err != nil {
			t.Fatal(err)
		}
		if all := b.String() + faults.Error(); strings.Contains(all, secret) && !strings.Contains(file+set+variable, secret) {
			t.Fatalf("a secret shows:\n%s", all)
		}
		c.Kafka.SASL.Password, c.Door.URL = "", ""
		var shown strings.Builder
		if err := p.Print(&shown, c); err != nil {
			t.Fatal(err)
		}
		again := defaults()
		p, err = Load(Source{Path: write(t, shown.String()), Env: env()}, &again)
		if err != nil || len(p.Join(nil)) > 0 {
			t.Fatalf("printed:\n%s\n%v", shown.String(), err)
		}
	})
}
