// Command vippyd is vippyd with one more plugin compiled in. It takes the same arguments
// and config as the original.
package main

import (
	"os"
	"time"

	"github.com/vippy-ha/vippy/cmd/vippyd/app"
	"github.com/vippy-ha/vippy/examples/plugin/dial"
)

func main() {
	os.Exit(app.Main(os.Args[1:], dial.Check{Network: "tcp", Address: "127.0.0.1:80", Every: time.Second}))
}
