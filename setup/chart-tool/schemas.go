// Writes the folder of schemas from the projects' own Go modules, which are checked against the Go
// checksum database on the way. From Kubernetes' OpenAPI only what the named kinds need is taken;
// descriptions are dropped. Custom resources come from the definitions that their projects ship.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

type source struct {
	file, module, version, licence string
	// Files of the module, and the kinds that are taken from each.
	openAPI, definitions map[string][]string
}

var sources = []source{
	{
		file: "kubernetes.json", module: "k8s.io/kubernetes", version: "v1.35.8", licence: "Apache-2.0",
		openAPI: map[string][]string{
			"api/openapi-spec/v3/api__v1_openapi.json":                     {"v1 ConfigMap", "v1 Service", "v1 ServiceAccount"},
			"api/openapi-spec/v3/apis__apps__v1_openapi.json":              {"apps/v1 Deployment"},
			"api/openapi-spec/v3/apis__networking.k8s.io__v1_openapi.json": {"networking.k8s.io/v1 NetworkPolicy"},
			"api/openapi-spec/v3/apis__policy__v1_openapi.json":            {"policy/v1 PodDisruptionBudget"},
			"api/openapi-spec/v3/apis__rbac.authorization.k8s.io__v1_openapi.json": {
				"rbac.authorization.k8s.io/v1 ClusterRole", "rbac.authorization.k8s.io/v1 ClusterRoleBinding",
				"rbac.authorization.k8s.io/v1 Role", "rbac.authorization.k8s.io/v1 RoleBinding",
			},
		},
	},
	{
		file: "keda.json", module: "github.com/kedacore/keda/v2", version: "v2.20.2", licence: "Apache-2.0",
		definitions: map[string][]string{
			"config/crd/bases/keda.sh_clustertriggerauthentications.yaml": {"keda.sh/v1alpha1 ClusterTriggerAuthentication"},
			"config/crd/bases/keda.sh_scaledobjects.yaml":                 {"keda.sh/v1alpha1 ScaledObject"},
			"config/crd/bases/keda.sh_triggerauthentications.yaml":        {"keda.sh/v1alpha1 TriggerAuthentication"},
		},
	},
	{
		file: "cert-manager.json", module: "github.com/cert-manager/cert-manager",
		version: "v1.19.1", licence: "Apache-2.0",
		definitions: map[string][]string{
			"deploy/crds/cert-manager.io_certificates.yaml": {"cert-manager.io/v1 Certificate"},
		},
	},
	{
		file: "prometheus-operator.json", module: "github.com/prometheus-operator/prometheus-operator",
		version: "v0.85.0", licence: "Apache-2.0",
		definitions: map[string][]string{
			"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml":     {"monitoring.coreos.com/v1 PodMonitor"},
			"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml": {"monitoring.coreos.com/v1 PrometheusRule"},
			"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml": {"monitoring.coreos.com/v1 ServiceMonitor"},
		},
	},
}

const metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

func writeSchemas(folder string) (any, error) {
	written := []string{}
	for _, source := range sources {
		out, err := source.bundle()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source.module, err)
		}
		text, err := json.MarshalIndent(out, "", " ")
		if err != nil {
			return nil, err
		}
		file := filepath.Join(folder, source.file)
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			return nil, err
		}
		written = append(written, file)
	}
	return written, nil
}

func (s source) bundle() (*bundle, error) {
	output, err := exec.Command("go", "mod", "download", "-json", s.module+"@"+s.version).Output()
	if err != nil {
		return nil, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(output, &module); err != nil {
		return nil, err
	}
	out := &bundle{
		Source: s.module + "@" + s.version, Licence: s.licence,
		Kinds: map[string]any{}, Defs: map[string]any{},
	}
	for file, kinds := range s.openAPI {
		if err := out.addOpenAPI(filepath.Join(module.Dir, file), kinds); err != nil {
			return nil, err
		}
	}
	for file, kinds := range s.definitions {
		if err := out.addDefinition(filepath.Join(module.Dir, file), kinds); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *bundle) addOpenAPI(file string, kinds []string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var document struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	schemas := document.Components.Schemas
	for _, wanted := range kinds {
		for name, schema := range schemas {
			if kindOf(schema) != wanted {
				continue
			}
			b.Kinds[wanted] = map[string]any{"$ref": "#/$defs/" + name}
			b.take(name, schemas)
		}
		if b.Kinds[wanted] == nil {
			return fmt.Errorf("%s has no %s", file, wanted)
		}
	}
	return nil
}

// What a schema of the OpenAPI document describes, if it is a kind of its own.
func kindOf(schema map[string]any) string {
	list, _ := schema["x-kubernetes-group-version-kind"].([]any)
	if len(list) != 1 {
		return ""
	}
	one, _ := list[0].(map[string]any)
	version := fmt.Sprint(one["version"])
	if group := fmt.Sprint(one["group"]); group != "" {
		version = group + "/" + version
	}
	return version + " " + fmt.Sprint(one["kind"])
}

// Takes a definition and everything that it refers to.
func (b *bundle) take(name string, schemas map[string]map[string]any) {
	if b.Defs[name] != nil {
		return
	}
	b.Defs[name] = true
	var refer func(reference string) string
	refer = func(reference string) string {
		next := strings.TrimPrefix(reference, "#/components/schemas/")
		b.take(next, schemas)
		return "#/$defs/" + next
	}
	b.Defs[name] = jsonSchema(schemas[name], refer)
}

func (b *bundle) addDefinition(file string, kinds []string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var definition struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return err
	}
	spec := definition.Spec
	for _, version := range spec.Versions {
		kind := spec.Group + "/" + version.Name + " " + spec.Names.Kind
		for _, wanted := range kinds {
			if kind == wanted {
				schema, _ := jsonSchema(version.Schema.OpenAPIV3Schema, nil).(map[string]any)
				properties, _ := schema["properties"].(map[string]any)
				properties["metadata"] = map[string]any{"$ref": "#/$defs/" + metadata}
				b.Kinds[kind] = schema
			}
		}
	}
	for _, wanted := range kinds {
		if b.Kinds[wanted] == nil {
			return fmt.Errorf("%s has no %s", file, wanted)
		}
	}
	return nil
}

// An OpenAPI schema as a JSON schema that knows no other fields than those it names.
func jsonSchema(node any, refer func(string) string) any {
	switch node := node.(type) {
	case []any:
		out := make([]any, len(node))
		for i, item := range node {
			out[i] = jsonSchema(item, refer)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, value := range node {
			switch key {
			case "properties":
				fields := map[string]any{}
				for name, field := range value.(map[string]any) {
					fields[name] = jsonSchema(field, refer)
				}
				out[key] = fields
			case "$ref":
				out[key] = refer(value.(string))
			case "type", "required", "enum", "items", "additionalProperties", "allOf", "anyOf", "oneOf", "not",
				"pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems":
				out[key] = jsonSchema(value, refer)
			}
		}
		_, preserves := node["x-kubernetes-preserve-unknown-fields"]
		_, open := node["additionalProperties"]
		if _, named := node["properties"]; named && !open && !preserves {
			out["additionalProperties"] = false
		}
		if node["nullable"] == true {
			return map[string]any{"anyOf": []any{out, map[string]any{"type": "null"}}}
		}
		return out
	}
	return node
}
