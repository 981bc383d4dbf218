// Command plugin is vippyd with one more health check compiled in. Build it in place of
// vippyd: it takes the same arguments and config.
package main

import (
	"os"
	"time"

	"github.com/vippy-ha/vippy/cmd/vippyd/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], dialCheck{network: "tcp", address: "127.0.0.1:80", every: time.Second}))
}
