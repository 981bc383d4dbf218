// Command plugin is a plugin that is a program of its own: it bars the node while nobody
// listens at the address that it is given. In vippyd's config:
//
//	plugins:
//	  - { command: [ /usr/local/lib/vippy/plugin, "127.0.0.1:80" ], name: web }
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/vippy-ha/vippy/examples/plugin/dial"
	"github.com/vippy-ha/vippy/plugin"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: plugin HOST:PORT")
		os.Exit(2)
	}
	plugin.Main(dial.Check{Network: "tcp", Address: os.Args[1], Every: time.Second})
}
