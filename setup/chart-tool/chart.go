// Renders and lints a chart through helm's own packages.
package main

import (
	"fmt"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/releaseutil"
)

// The release that is rendered. Its name differs from the chart's, so that a name that is put
// together wrongly shows.
var release = chartutil.ReleaseOptions{Name: "trial", Namespace: "scaling", Revision: 1, IsInstall: true}

// The Kubernetes that the chart is rendered and linted for; the schemas are of the same minor version.
const kubernetes = "v1.35.0"

type rendered struct {
	Values    string `json:"values"`
	Manifests string `json:"manifests"`
	Notes     string `json:"notes"`
	Error     string `json:"error"`
}

type linted struct {
	Values   string   `json:"values"`
	Messages []string `json:"messages"`
}

func render(folder string, files []string) ([]rendered, error) {
	loaded, err := loader.Load(folder)
	if err != nil {
		return nil, err
	}
	var all []rendered
	for _, file := range files {
		values, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return nil, err
		}
		one := rendered{Values: file}
		one.Manifests, one.Notes, err = renderOne(loaded, values)
		if err != nil {
			one.Error = err.Error()
		}
		all = append(all, one)
	}
	return all, nil
}

func renderOne(loaded *chart.Chart, values chartutil.Values) (manifests, notes string, err error) {
	capabilities := chartutil.DefaultCapabilities.Copy()
	version, err := chartutil.ParseKubeVersion(kubernetes)
	if err != nil {
		return "", "", err
	}
	capabilities.KubeVersion = *version
	if !chartutil.IsCompatibleRange(loaded.Metadata.KubeVersion, kubernetes) {
		return "", "", fmt.Errorf("the chart wants Kubernetes %s and this is %s", loaded.Metadata.KubeVersion, kubernetes)
	}
	all, err := chartutil.ToRenderValues(loaded, values, release, capabilities)
	if err != nil {
		return "", "", err
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return "", "", err
	}
	name := path.Join(loaded.Name(), "templates", "NOTES.txt")
	notes = files[name]
	delete(files, name)
	_, sorted, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return "", "", err
	}
	var text strings.Builder
	for _, manifest := range sorted {
		fmt.Fprintf(&text, "---\n# Source: %s\n%s\n", manifest.Name, strings.TrimSpace(manifest.Content))
	}
	return text.String(), notes, nil
}

func lintAll(folder string, files []string) ([]linted, error) {
	version, err := chartutil.ParseKubeVersion(kubernetes)
	if err != nil {
		return nil, err
	}
	var all []linted
	for _, file := range files {
		values, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return nil, err
		}
		linter := lint.AllWithKubeVersion(folder, values, release.Namespace, version)
		one := linted{Values: file, Messages: []string{}}
		for _, message := range linter.Messages {
			one.Messages = append(one.Messages, message.Error())
		}
		all = append(all, one)
	}
	return all, nil
}
