package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/vipgroup"
)

func TestSignals(t *testing.T) {
	ctx, s := catch(t.Context())
	defer s.stop()
	send := func(sig unix.Signal) {
		t.Helper()
		if err := unix.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	send(unix.SIGHUP)
	<-s.reload
	if ctx.Err() != nil {
		t.Fatal("SIGHUP stops")
	}
	send(unix.SIGTERM)
	<-ctx.Done()
	select {
	case <-s.hurry:
		t.Fatal("the first order to stop hastens")
	default:
	}
	send(unix.SIGINT)
	<-s.hurry
	send(unix.SIGQUIT) // a third one changes nothing
	send(unix.SIGHUP)
	<-s.reload
}

// Each of the ancestor's signals that end it is an order to stop.
func TestOrdersToStop(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT} {
		ctx, s := catch(t.Context())
		if err := unix.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if got := context.Cause(ctx); got == nil || got.Error() != sig.String() {
			t.Errorf("%v: the reason to stop is %v", sig, got)
		}
		s.stop()
	}
}

// The node's name is the host's, or what is before its first dot if the plan has that.
func TestNodeName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(host, ".")
	for _, nodes := range []string{host + ", other", short + ", other", "other"} {
		file := filepath.Join(t.TempDir(), "vippy.conf")
		text := "secret: correct horse battery staple\nnodes: [" + nodes + "]\nvips: [[{interface: eth0, ip: 192.0.2.1/24}]]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want := host
		if nodes == short+", other" {
			want = short
		}
		if _, got, err := load(file, ""); err != nil || got != want {
			t.Errorf("nodes %s: got %q, %v; want %q", nodes, got, err, want)
		}
		if _, got, err := load(file, "given"); err != nil || got != "given" {
			t.Errorf("nodes %s, -n given: got %q, %v", nodes, got, err)
		}
	}
}

// Whatever this host is called: the rule, of nodes and of voters.
func TestNameIn(t *testing.T) {
	p, err := vipgroup.NewPlan(vipgroup.Plan{Nodes: []string{"a", "b.org", "c"}, Voters: []string{"a", "v", "c.org"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"a": "a", "a.org": "a", "b.org": "b.org", "b": "b", "v.example.org": "v", "v": "v", "c.org": "c.org", "x.org": "x.org",
	} {
		if got := nameIn(p, host); got != want {
			t.Errorf("%s goes by %q, want %q", host, got, want)
		}
	}
}

func TestGateway(t *testing.T) {
	const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	tests := []struct {
		name, table string
		want        bool
	}{
		{"default route", head + "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", true},
		{"only a subnet", head + "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", false},
		{"a default route without gateway", head + "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", false},
		{"nothing", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "route")
			if err := os.WriteFile(path, []byte(tt.table), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := hasGateway(path); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if hasGateway(filepath.Join(t.TempDir(), "none")) {
		t.Error("a file that isn't there has a gateway")
	}
}

// What the daemon starts is ended by a closed pipe, though the daemon itself isn't.
func TestPipesEndChildren(t *testing.T) {
	outlivePipes()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if _, err := w.WriteString("x"); !errors.Is(err, unix.EPIPE) {
		t.Errorf("writing to a closed pipe: %v", err)
	}
	out, err := exec.Command("grep", "SigIgn", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	var ignored uint64
	if _, err := fmt.Sscanf(string(out), "SigIgn: %x", &ignored); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if ignored&(1<<(unix.SIGPIPE-1)) != 0 {
		t.Errorf("a child ignores SIGPIPE: %s", out)
	}
}
