// SPDX-License-Identifier: Apache-2.0

// Reads Kubernetes objects in JSON from standard input, one after the other, and writes what kstatus makes of each: the
// library by which Flux and others tell whether an object has come to rest.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type verdict struct {
	Status  status.Status `json:"status"`
	Message string        `json:"message"`
}

func main() {
	log.SetFlags(0)
	objects, verdicts := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var raw json.RawMessage
		if err := objects.Decode(&raw); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		// Whole numbers as whole numbers, as Kubernetes reads them.
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(raw); err != nil {
			log.Fatal(err)
		}
		result, err := status.Compute(&object)
		if err != nil {
			log.Fatal(err)
		}
		if err := verdicts.Encode(verdict{result.Status, result.Message}); err != nil {
			log.Fatal(err)
		}
	}
}
