package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// programOf is where a node's daemon is started from: a link of its own, by which it can
// be given another program.
func programOf(dir string) string { return filepath.Join(dir, "vippyd") }

// install makes a node's next program the one at path.
func (n *node) install(path string) error {
	next := programOf(n.dir) + ".next"
	if err := os.Symlink(path, next); err != nil {
		return err
	}
	return os.Rename(next, programOf(n.dir))
}

// brokenProgram says brokenText and is no vippyd.
const (
	brokenText    = "this program is broken"
	brokenProgram = "#!/bin/sh\necho '" + brokenText + "' >&2\nexit 3\n"
)

// upgrade orders a node's daemon to run another program: first a broken one, which it must
// refuse, then a sound one.
func (c *cluster) upgrade(ctx context.Context, n *node) error {
	before, err := n.ask(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	broken := programOf(n.dir) + ".broken"
	if err := os.WriteFile(broken, []byte(brokenProgram), 0o700); err != nil {
		return err
	}
	if err := n.install(broken); err != nil {
		return err
	}
	_, err = n.socket.Do(ctx, ctlsocket.Command{Verb: ctlsocket.Upgrade})
	if refusal := (*ctlsocket.Error)(nil); !errors.As(err, &refusal) || !strings.Contains(refusal.Message, brokenText) {
		return fmt.Errorf("%s: a broken program was not refused for what it says but: %w", n.name, err)
	}
	if st, err := n.ask(ctx); err != nil || st.Program != before.Program {
		return fmt.Errorf("%s: after a refused upgrade runs %+v, before %+v (%w)", n.name, st.Program, before.Program, err)
	}
	if err := n.install(c.vippyd); err != nil {
		return err
	}
	if _, err := n.socket.Do(ctx, ctlsocket.Command{Verb: ctlsocket.Upgrade}); err != nil {
		return fmt.Errorf("%s: upgrade: %w", n.name, err)
	}
	for begin := now(); ; {
		st, err := n.ask(ctx)
		switch {
		case err == nil && st.Program.Boot != before.Program.Boot:
			return fmt.Errorf("%s: started anew instead of going on: boot id %d, before %d", n.name, st.Program.Boot, before.Program.Boot)
		case err == nil && !st.Program.Since.Equal(before.Program.Since):
			return nil
		case begin.since() > stopLimit:
			return fmt.Errorf("%s: no other program answers %v after it was ordered (%w)", n.name, stopLimit, err)
		}
		if err := Pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}
