package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// servicePID is the pid file of a node's service.
func servicePID(dir string) string { return filepath.Join(dir, "service.pid") }

// checks is what the config says under that name.
type checks map[string]struct {
	Process  string  `json:"process"`
	Interval float64 `json:"interval"`
}

func (s settings) checks(dir string) checks {
	if !s.service {
		return nil
	}
	return checks{"service": {servicePID(dir), 0.1}}
}

// A program is one of the config's plugins.
type program struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Timeout float64  `json:"timeout,omitempty"`
	OnFail  string   `json:"on_fail"`
}

// plugins are those of a hostile node: one each that crashes, hangs, floods in every way,
// and talks rubbish. Their end means nothing, so all that they can do is harm. What they
// leave behind when their daemon is killed ends with the pipes to it.
func (s settings) plugins() []program {
	if !s.hostile {
		return nil
	}
	sh := func(name, script string) program {
		return program{Name: name, Command: []string{"/bin/sh", "-c", script}, OnFail: "ignore"}
	}
	hanging := sh("hang", "trap '' TERM; exec sleep 1000")
	hanging.Timeout = 0.5
	return []program{
		hanging,
		sh("crash", "kill -SEGV $$"),
		sh("flood", `yes '{"log":"flood"}' & yes '{"ask":"status"}' & yes '{"vote":"ok","reason":"flood"}' & yes flood >&2`),
		sh("rubbish", `echo '{"vote":"bar"}}}'; exec sleep 1000`),
		sh("endless", `exec yes | tr -d '\n'`),
	}
}

// serve starts what stands for a node's service, and says which process it is.
func (n *node) serve() error {
	path, err := exec.LookPath("sleep")
	if err != nil {
		return fmt.Errorf("a service for %s: %w", n.name, err)
	}
	if n.service, err = spawn(n.space, logPath(n.dir), path, "1000000"); err != nil {
		return fmt.Errorf("a service for %s: %w", n.name, err)
	}
	file := servicePID(n.dir)
	text := strconv.Itoa(n.service.cmd.Process.Pid) + "\n"
	return errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file))
}

// serveAgain starts the service anew and waits until the node believes in it: what prefers
// the node moves back only then.
func (n *node) serveAgain(ctx context.Context) error {
	if err := n.serve(); err != nil {
		return err
	}
	for begin := now(); n.sound() && begin.since() < stopLimit; {
		if s, err := n.ask(ctx); err == nil && s.State.Active {
			return nil
		}
		if err := Pause(ctx, pollEvery); err != nil {
			return err
		}
	}
	return nil // whatever else is wrong with it, the settling says it
}

// meddleWithPlugins gives a node plugins that do all that they must not, or takes them away.
func (c *cluster) meddleWithPlugins(ctx context.Context, n *node, hostile bool) error {
	n.conf.hostile = hostile
	return c.reread(ctx, n)
}

// pluginsFared says what is wrong with how a node told of its hostile plugins: it must
// still be able to, and have noticed.
func (n *node) pluginsFared(ctx context.Context) string {
	s, err := n.ask(ctx)
	if err != nil {
		return err.Error()
	}
	noticed := 0
	for _, p := range s.Plugins {
		if p.Restarts > 0 || p.Failure != "" {
			noticed++
		}
	}
	if len(s.Plugins) != 6 || noticed < 4 {
		return fmt.Sprintf("%s has %d checks and plugins and saw %d of them end, want 6 and 4 (hang, crash, rubbish, endless)", n.name, len(s.Plugins), noticed)
	}
	return ""
}
