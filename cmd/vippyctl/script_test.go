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
	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vippyctl": func() {
		completeTime = time.Minute
		main()
	}})
}

// TestScripts runs every command against a daemon that says what the script wants.
//
//	daemon FILE             serve FILE, a script as JSON, at $SOCK
//	exits CODE vippyctl ... run the command and expect this exit code
//	has MS, lost            make the daemon's node have its groups for so long, or not
//	dies                    end the daemon
//	await FILE              wait until there is such a file
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
			"has":    has,
			"lost":   lost,
			"dies":   dies,
			"await":  await,
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
	// end ends it, and dies waits until it has ended.
	end, dies func()
	// tenure is the last word on every group; changed is closed when there is another.
	tenure  ctlsocket.Tenure
	changed chan struct{}
	history ctlsocket.History
	mu      sync.Mutex
	Answer  ctlsocket.Status     `json:"status"`
	Planned ctlsocket.PlanReport `json:"plan"`
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

// Tenure tells what the script says last.
func (f *fake) Tenure(ctx context.Context, group string, tell func(ctlsocket.Tenure) error) error {
	for {
		f.mu.Lock()
		now, changed := f.tenure, f.changed
		f.mu.Unlock()
		now.Group = group
		if err := tell(now); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// say makes the daemon's node have its groups, or not.
func (f *fake) say(owner bool, ms int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tenure = ctlsocket.Tenure{Owner: owner, RemainingMS: ms}
	close(f.changed)
	f.changed = make(chan struct{})
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
	f := &fake{changed: make(chan struct{})}
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
	f.dies = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			ts.Logf("serve: %v", err)
		}
	})
	ts.Defer(f.dies)
	daemons.Store(ts.Getenv("SOCK"), f)
}

// daemons has the fake at each socket.
var daemons sync.Map

func daemonOf(ts *testscript.TestScript) *fake {
	f, ok := daemons.Load(ts.Getenv("SOCK"))
	if !ok {
		ts.Fatalf("the script has no daemon")
	}
	return f.(*fake)
}

func has(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: has MS")
	}
	ms, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	daemonOf(ts).say(true, ms)
}

func lost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: lost")
	}
	daemonOf(ts).say(false, 0)
}

func dies(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: dies")
	}
	daemonOf(ts).dies()
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestEveryCommand: each one has a script in testdata and a line in the reference, and its
// help shows an example.
func TestEveryCommand(t *testing.T) {
	scripts := ""
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../../docs/reference.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts += string(text)
	}
	_, reference, _ := strings.Cut(scripts, "\n### vippyctl\n")
	reference, _, _ = strings.Cut(reference, "\n## ")
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			look(sub)
		}
		name := strings.TrimPrefix(c.CommandPath(), "vippyctl ")
		if c.HasSubCommands() || name == "help" {
			return
		}
		words := regexp.QuoteMeta(name)
		if !regexp.MustCompile(`\bvippyctl (-s \$SOCK )?` + words + `\b`).MatchString(scripts) {
			t.Errorf("no script in testdata runs vippyctl %s", name)
		}
		if !regexp.MustCompile("(?m)^\\|.*`" + words + "[` ]").MatchString(reference) {
			t.Errorf("docs/reference.md does not list %s", name)
		}
		if c.Example == "" {
			t.Errorf("vippyctl %s has no example", name)
		}
	}
	look(newRoot())
}
