// Kustomizer builds overlay after overlay with kustomize's own library, in one process that stays warm.
//
// It reads folders from standard input, each a JSON string on a line of its own, and answers each with one line of JSON:
// {"objects": [...]}, what `kustomize build` prints for the folder, in its order, or {"fault": "..."}, what it complains of.
// It ends when its input does. The version of sigs.k8s.io/kustomize/api in go.mod is that of kustomize 5.7.1.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// A build that takes this long has met something that never answers; whoever reads sees the process end.
const limit = 5 * time.Minute

type answer struct {
	Objects []map[string]any `json:"objects,omitempty"`
	Fault   string           `json:"fault,omitempty"`
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	answers := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(answers)
	for questions.More() {
		var folder string
		if err := questions.Decode(&folder); err != nil {
			return err
		}
		if err := encoder.Encode(build(folder)); err != nil {
			return err
		}
		if err := answers.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func build(folder string) answer {
	watch := time.AfterFunc(limit, func() {
		fmt.Fprintf(os.Stderr, "it did not end within %s\n", limit)
		os.Exit(1)
	})
	defer watch.Stop()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified // what the command line means when nobody says anything
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return answer{Fault: err.Error()}
	}
	objects := make([]map[string]any, 0, built.Size())
	for _, resource := range built.Resources() {
		object, err := resource.Map()
		if err != nil {
			return answer{Fault: err.Error()}
		}
		objects = append(objects, object)
	}
	return answer{Objects: objects}
}
