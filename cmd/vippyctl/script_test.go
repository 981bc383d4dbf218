package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vippy-ha/vippy/ctlsocket"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// TestScripts runs every command against a daemon that says what the script wants.
//
//	daemon FILE             serve FILE, a script as JSON, at $SOCK
//	exits CODE vippyctl ... run the command and expect this exit code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			// A socket's path is short; the working directory of a script may not be.
			dir, err := os.MkdirTemp("", "vippyctl")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(dir) })
			env.Setenv("SOCK", filepath.Join(dir, "s"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": serveFake,
			"exits":  exits,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[1] != "vippyctl" {
		ts.Fatalf("usage: exits CODE vippyctl ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := run(args[2:], ts.Stdout(), ts.Stderr()); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// fake is a Daemon with a fixed status and fixed answers.
type fake struct {
	// Happened are its events. With Ends, it ends once all of them were told.
	Happened []ctlsocket.Event `json:"events"`
	Ends     bool              `json:"ends"`
	end      func()
	history  ctlsocket.History
	mu       sync.Mutex
	Answer   ctlsocket.Status     `json:"status"`
	Planned  ctlsocket.PlanReport `json:"plan"`
	// Next is the status from the moment on in which an upgrade is done, or in which who left
	// was started again.
	Next *ctlsocket.Status `json:"next"`
	// Downs foretells, by node, who would have the groups without it.
	Downs map[string]ctlsocket.Forecast `json:"downs"`
	Verbs map[ctlsocket.Verb]struct {
		Code          int
		Message, Hint string
	} `json:"verbs"`
}

func (f *fake) Status() ctlsocket.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Answer
}

func (f *fake) Plan() ctlsocket.PlanReport { return f.Planned }

func (f *fake) Events(after uint64) ([]ctlsocket.Event, <-chan struct{}) {
	events, more := f.history.After(after)
	if more != nil && f.Ends {
		f.end()
	}
	return events, more
}

func (f *fake) IfDown(_ context.Context, group, node string) (ctlsocket.Forecast, error) {
	forecast, ok := f.Downs[node]
	if !ok {
		return forecast, &ctlsocket.Error{Code: http.StatusNotFound, Message: fmt.Sprintf("plan 5 has no node %q", node), Hint: "vippyctl peers lists them"}
	}
	forecast.Node = node
	return forecast, nil
}

func (f *fake) Do(_ context.Context, c ctlsocket.Command) (string, error) {
	a, ok := f.Verbs[c.Verb]
	if !ok {
		return "", fmt.Errorf("the script has no answer for %s", c.Verb)
	}
	if a.Code != 0 {
		return "", &ctlsocket.Error{Code: a.Code, Message: a.Message, Hint: a.Hint}
	}
	if c.Verb == ctlsocket.Leave && f.Next == nil {
		f.end()
	}
	if (c.Verb == ctlsocket.Upgrade || c.Verb == ctlsocket.Leave) && f.Next != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.Answer = *f.Next
	}
	body, err := json.Marshal(c)
	return strings.ReplaceAll(a.Message, "BODY", string(body)), err
}

// ago stands for a time in a script. Half a day of slack keeps the printed days right.
var ago = regexp.MustCompile(`\{\{(\d+) days ago\}\}`)

func serveFake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: daemon FILE")
	}
	text := ago.ReplaceAllStringFunc(ts.ReadFile(args[0]), func(s string) string {
		days, err := strconv.Atoi(ago.FindStringSubmatch(s)[1])
		ts.Check(err)
		return time.Now().Add(-time.Duration(days)*24*time.Hour - 12*time.Hour).Format(time.RFC3339)
	})
	f := &fake{}
	ts.Check(json.Unmarshal([]byte(text), f))
	l, err := ctlsocket.Listen(ts.Getenv("SOCK"))
	ts.Check(err)
	for _, e := range f.Happened {
		f.history.Add(e)
	}
	ctx, stop := context.WithCancel(context.Background())
	f.end = stop
	ended := make(chan error, 1)
	go func() { ended <- ctlsocket.Serve(ctx, l, f) }()
	ts.Defer(func() {
		stop()
		if err := <-ended; err != nil {
			ts.Logf("serve: %v", err)
		}
	})
}
