package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
)

func TestMain(m *testing.M) {
	testscript.Main(leaks{m}, map[string]func(){
		"vippyd": func() { os.Exit(Main(os.Args[1:])) },
	})
}

// leaks fails a run that leaves goroutines behind.
type leaks struct{ m *testing.M }

// Run runs the tests and then looks for goroutines.
func (l leaks) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString("goroutines were left: " + err.Error() + "\n")
		code = 1
	}
	return code
}

// TestScripts runs the real commands, as a person would type them.
//
//	rules FILE GROUP=NODE...  answer at $SOCK as a daemon by the plan of a config, all of
//	                          whose nodes are eligible but those named in DOWN; a GROUP-NODE
//	                          among them gives the node a penalty there
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			dir, err := os.MkdirTemp("", "vippyd") // a socket's path is short
			env.Defer(func() { os.RemoveAll(dir) })
			env.Setenv("SOCK", filepath.Join(dir, "s"))
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"rules": rules},
	})
}

func rules(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: rules FILE GROUP=NODE...")
	}
	c, err := config.Parse(args[0], []byte(ts.ReadFile(args[0])))
	ts.Check(err)
	f := fakeDaemon{plan: ctlsocket.PlanReport{Identity: "node1", Encoding: c.Plan.Encode(), Fixed: c.Fixed(), View: ctlsocket.PlanView{Holders: map[string]string{}, Penalties: map[string]map[string]int{}}}}
	for _, name := range c.Plan.Nodes {
		if name != ts.Getenv("DOWN") {
			f.plan.View.Eligible = append(f.plan.View.Eligible, name)
		}
	}
	key := func(group string) string { return c.Plan.Groups[c.Plan.Find(group)].Key.String() }
	for _, word := range args[1:] {
		if group, node, holds := strings.Cut(word, "="); holds {
			f.plan.View.Holders[key(group)] = node
		} else {
			group, node, _ := strings.Cut(word, "-")
			f.plan.View.Penalties[node] = map[string]int{key(group): 5}
		}
	}
	l, err := ctlsocket.Listen(ts.Getenv("SOCK"))
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ctlsocket.Serve(ctx, l, f) }()
	ts.Defer(func() {
		stop()
		ts.Check(<-ended)
	})
}

// fakeDaemon has a plan and nothing else.
type fakeDaemon struct {
	ctlsocket.Daemon
	plan ctlsocket.PlanReport
}

func (f fakeDaemon) Plan() ctlsocket.PlanReport { return f.plan }
