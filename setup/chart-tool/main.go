// What the tests of deploy/ need of helm and of Kubernetes, as one small program.
//
// helm's own packages load, lint and render the chart, as `helm lint` and `helm template` do; the
// whole helm program also links registries, plugins and cluster access, and takes three times as
// long to build. Manifests are validated against schemas that lie in a folder: nothing is asked over
// the network, and no rule that a schema cannot hold (CEL, admission) is checked.
//
// Every command answers JSON on standard output. What is wrong with a chart or a manifest is part of
// the answer; only what keeps the program from answering at all ends it with 1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

const usage = `chart-tool render   CHART VALUES.yaml...     as helm template does
chart-tool lint     CHART VALUES.yaml...     as helm lint --strict does
chart-tool validate SCHEMAS MANIFEST.yaml... against the schemas in a folder
chart-tool schemas  FOLDER                   writes that folder from the Go modules of the projects`

func main() {
	answer, err := run(os.Args[1:])
	if err == nil {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart-tool:", err)
		os.Exit(1)
	}
}

func run(arguments []string) (any, error) {
	if len(arguments) < 2 {
		return nil, fmt.Errorf("usage:\n%s", usage)
	}
	command, first, rest := arguments[0], arguments[1], arguments[2:]
	switch command {
	case "render":
		return render(first, rest)
	case "lint":
		return lintAll(first, rest)
	case "validate":
		return validate(first, rest)
	case "schemas":
		return writeSchemas(first)
	}
	return nil, fmt.Errorf("no command %q; usage:\n%s", command, usage)
}
