// Package schemas holds the contracts of what scry writes, and the tests that hold
// scry to them.
package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contracts are the schemas of data that others read.
var contracts = []string{"prediction.json", "cache.json", "dead_letter.json"}

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestExamplesAreValid(t *testing.T) {
	for _, file := range contracts {
		schema := compile(t, file)
		if len(schema.Examples) == 0 {
			t.Errorf("%s has no examples", file)
		}
		for i, example := range schema.Examples {
			if err := schema.Validate(example); err != nil {
				t.Errorf("%s, example %d: %v", file, i, err)
			}
		}
	}
}

// Readers are told to tolerate additions, and what each member means.
func TestSchemasTolerateAdditionsAndDescribe(t *testing.T) {
	for _, file := range contracts {
		schema := compile(t, file)
		for i, example := range schema.Examples {
			more := maps.Clone(example.(map[string]any))
			more["added later"] = true
			if err := schema.Validate(more); err != nil {
				t.Errorf("%s, example %d with a member more: %v", file, i, err)
			}
		}
		for name, p := range schema.Properties {
			if p.Description == "" {
				t.Errorf("%s: %s has no description", file, name)
			}
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	// Each change of the first example breaks it; nil takes the member out.
	changes := map[string][]map[string]any{
		"prediction.json": {
			{"id": nil}, {"id": "web.events"}, {"score": nil}, {"score": "0.5"}, {"entity": ""}, {"label": 1.0}, {"model_name": nil},
			{"model_version": nil}, {"arm": nil}, {"event_time": nil}, {"scored_at": nil}, {"scores": map[string]any{"buy": "much"}},
			{"event_time": "2026-11-24T10:00:00Z"}, {"scored_at": "2026-11-24T10:00:00.123+01:00"}, {"event_time": "2026-13-24T10:00:00.123Z"},
		},
		"cache.json": {
			{"v": nil}, {"v": "1a20cff7d7b00000000000003df311f"}, {"v": "01A20CFF7D7B00000000000003DF311F"}, {"score": nil}, {"deleted": false},
			{"model": nil}, {"model": "buyer-intent"}, {"event_time": nil}, {"scored_at": nil}, {"id": nil}, {"event_time": 1795514400123.0},
		},
		"dead_letter.json": {
			{"kafka_dlt-original-topic": nil}, {"kafka_dlt-original-partition": "3"}, {"kafka_dlt-original-offset": -1.0}, {"kafka_dlt-original-timestamp": nil},
			{"kafka_dlt-original-consumer-group": ""}, {"kafka_dlt-exception-fqcn": "missing"}, {"kafka_dlt-exception-message": nil},
			{"scry-stage": nil}, {"scry-reason": ""}, {"scry-position": "web.events"}, {"scry-attempts": "0"}, {"scry-model": "buyer-intent"},
			{"scry-value-length": "5"},
		},
	}
	for file, changes := range changes {
		schema := compile(t, file)
		for _, change := range changes {
			broken := maps.Clone(schema.Examples[0].(map[string]any))
			for name, value := range change {
				broken[name] = value
				if value == nil {
					delete(broken, name)
				}
			}
			if err := schema.Validate(broken); err == nil {
				text, _ := json.Marshal(broken)
				t.Errorf("%s accepts %s", file, text)
			}
		}
	}
}

// A required member nobody describes would be a slip of the pen.
func TestRequiredMembersAreDescribed(t *testing.T) {
	for _, file := range contracts {
		schema := compile(t, file)
		names := slices.Collect(maps.Keys(schema.Properties))
		for _, name := range schema.Required {
			if !slices.Contains(names, name) {
				t.Errorf("%s requires %s and does not describe it", file, name)
			}
		}
	}
}
