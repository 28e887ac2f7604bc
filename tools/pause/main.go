// SPDX-License-Identifier: Apache-2.0

// The first container of each pod: it holds the pod's namespaces and does nothing else.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	// What a container leaves behind is collected by the kernel.
	signal.Ignore(syscall.SIGCHLD)
	<-ended
}
