// Validates manifests against the schemas of a folder. A field that no schema names is an error, as
// `kubectl apply --validate=strict` would have it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// One file of the folder.
type bundle struct {
	Source  string         `json:"source"`
	Licence string         `json:"licence"`
	Kinds   map[string]any `json:"kinds"`
	Defs    map[string]any `json:"$defs"`
}

type verdict struct {
	File   string   `json:"file"`
	Object string   `json:"object"`
	Errors []string `json:"errors"`
}

const resource = "file:///manifest.json"

func validate(folder string, files []string) ([]verdict, error) {
	kinds, definitions, err := readBundles(folder)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	document := map[string]any{"kinds": kinds, "$defs": definitions}
	if err := compiler.AddResource(resource, document); err != nil {
		return nil, err
	}
	all := []verdict{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, part := range documents(string(text)) {
			one := verdict{File: file, Errors: []string{}}
			if err := validateOne(compiler, kinds, part, &one); err != nil {
				one.Errors = append(one.Errors, err.Error())
			}
			all = append(all, one)
		}
	}
	return all, nil
}

func readBundles(folder string) (kinds, definitions map[string]any, err error) {
	kinds, definitions = map[string]any{}, map[string]any{}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		var read bundle
		if err := json.Unmarshal(text, &read); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		for name, schema := range read.Kinds {
			kinds[name] = schema
		}
		for name, schema := range read.Defs {
			definitions[name] = schema
		}
	}
	if len(kinds) == 0 {
		return nil, nil, fmt.Errorf("%s holds no schemas", folder)
	}
	return kinds, definitions, nil
}

// The documents of a file that hold more than comments.
func documents(text string) []string {
	var all []string
	for _, part := range strings.Split("\n"+text, "\n---") {
		for _, line := range strings.Split(part, "\n") {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") {
				all = append(all, part)
				break
			}
		}
	}
	return all
}

func validateOne(compiler *jsonschema.Compiler, kinds map[string]any, text string, one *verdict) error {
	converted, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return err
	}
	object, err := jsonschema.UnmarshalJSON(bytes.NewReader(converted))
	if err != nil {
		return err
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(converted, &head); err != nil {
		return err
	}
	kind := head.APIVersion + " " + head.Kind
	one.Object = kind + " " + head.Metadata.Name
	if _, known := kinds[kind]; !known {
		return fmt.Errorf("there is no schema for %s", kind)
	}
	pointer := strings.ReplaceAll(kind, "/", "~1")
	pointer = strings.ReplaceAll(pointer, " ", "%20")
	schema, err := compiler.Compile(resource + "#/kinds/" + pointer)
	if err != nil {
		return err
	}
	return schema.Validate(object)
}
