package forest

import (
	"bytes"
	"errors"
	"fmt"
)

// Load reads a model as XGBoost 1.0 to 3.4 (JSON or UBJ) or LightGBM 2.0.12 to 4.7
// (text) saved it. Name is the file's, for errors, which also name tree, node and
// field. Load keeps nothing of data, and is to be trusted with files from anywhere:
// what it returns can be scored without further checks.
func Load(name string, data []byte) (*Ensemble, error) {
	e, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

func load(data []byte) (*Ensemble, error) {
	text := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(text) == 0:
		return nil, errors.New("is empty")
	case bytes.HasPrefix(text, []byte("tree\n")), bytes.HasPrefix(text, []byte("tree\r\n")):
		return loadLightGBM(text)
	case text[0] == '{' && len(text) > 1 && bytes.IndexByte([]byte("LlIUi"), text[1]) >= 0:
		return loadXGBoost(&ubjTokens{data: text}, len(text))
	case text[0] == '{':
		return loadXGBoost(&jsonTokens{data: text}, len(text))
	}
	return nil, foreign(data)
}

// foreign says what a file of no known format looks like, and what to do.
func foreign(data []byte) error {
	const xgb = `save it with save_model("model.ubj")`
	for _, f := range []struct{ prefix, looks, mend string }{
		{"binf", "XGBoost's binary format of before 1.0", "load it with XGBoost 1.0 to 3.0 and " + xgb},
		{"bs64", "XGBoost's binary format of before 1.0", "load it with XGBoost 1.0 to 3.0 and " + xgb},
		{"booster[", "XGBoost's text dump, which is for people", xgb},
		{"[", "XGBoost's JSON dump, which is for people", xgb},
		{"CBM1", "CatBoost's own format", `save it with save_model("model.onnx", format="onnx")`},
		{"PK\x03\x04", "a zip archive, as skops and PyTorch write", "save the booster itself: XGBoost as model.ubj, LightGBM as model.txt"},
		{"\x1f\x8b", "gzip", "unpack it"},
		{"\x80", "a Python pickle, which runs code when it is loaded", "save the booster itself: XGBoost as model.ubj, LightGBM as model.txt"},
		{"\x08", "ONNX", "give it the ending .onnx"},
	} {
		if bytes.HasPrefix(data, []byte(f.prefix)) {
			return fmt.Errorf("looks like %s: %s", f.looks, f.mend)
		}
	}
	for _, booster := range []string{"gbtree", "gblinear", "dart"} {
		if bytes.Contains(data[:min(len(data), 1024)], []byte(booster)) {
			return fmt.Errorf("looks like XGBoost's deprecated binary format: load it with XGBoost 1.0 to 3.0 and %s", xgb)
		}
	}
	return errors.New("is neither XGBoost's JSON or UBJ nor LightGBM's text: save the booster as model.ubj or model.txt")
}
