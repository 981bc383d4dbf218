// Command vippyd keeps every virtual address on exactly one node.
package main

import (
	"os"

	"github.com/vippy-ha/vippy/cmd/vippyd/app"
)

func main() { os.Exit(app.Main(os.Args[1:], plugins...)) }
