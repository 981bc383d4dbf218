package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// TestEventsAcrossAnUpgrade: who follows the events is told each once, though the program
// that goes on remembers what the one before it told; and all of one that was started anew.
func TestEventsAcrossAnUpgrade(t *testing.T) {
	for boot, want := range map[uint64]string{
		7: "taken released eligible ",
		8: "taken released taken released eligible ",
	} {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := ctlsocket.Listen(socket)
		if err != nil {
			t.Fatal(err)
		}
		// The file keeps the socket open for who asks between the two.
		f, err := l.(*net.UnixListener).File()
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		before := &fake{Answer: ctlsocket.Status{Program: ctlsocket.Program{Boot: 7}}}
		before.history.Add(ctlsocket.Event{Kind: "taken"})
		before.history.Add(ctlsocket.Event{Kind: "released"})
		next := &fake{Answer: ctlsocket.Status{Program: ctlsocket.Program{Boot: boot, Since: time.Now()}}, Ends: true}
		next.history.GoOn(before.history.Newest(10))
		next.history.Add(ctlsocket.Event{Kind: "eligible"})
		inherited, err := ctlsocket.Inherit(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}

		ctx, stop := context.WithCancel(t.Context())
		out, write := io.Pipe()
		ended := make(chan int, 1)
		go func() {
			ended <- run([]string{"-s", socket, "events", "-f"}, write, io.Discard)
			write.Close()
		}()
		served := make(chan error, 2)
		go func() { served <- ctlsocket.Serve(ctx, l, before) }()
		var told bytes.Buffer
		line := make([]byte, 1000)
		for bytes.Count(told.Bytes(), []byte("\n")) < 2 {
			n, err := out.Read(line)
			if err != nil {
				t.Fatal(err)
			}
			told.Write(line[:n])
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		nextCtx, end := context.WithCancel(t.Context())
		next.end = end
		go func() { served <- ctlsocket.Serve(nextCtx, inherited, next) }()
		if _, err := told.ReadFrom(out); err != nil {
			t.Error(err)
		}
		end()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if code := <-ended; code != exitDont {
			t.Errorf("exit code %d, want %d", code, exitDont)
		}
		got := ""
		for _, l := range bytes.Split(bytes.TrimSpace(told.Bytes()), []byte("\n")) {
			words := bytes.Fields(l)
			got += string(words[len(words)-1]) + " "
		}
		if got != want {
			t.Errorf("with boot id %d then: told %q, want %q", boot, got, want)
		}
	}
}
