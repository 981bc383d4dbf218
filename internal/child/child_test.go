package child

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/child/childtest"
)

// Whoever the program is: it has no capability, can get none, and is in no group but
// its user's.
func TestNoPowers(t *testing.T) {
	for _, user := range users() {
		got := outputOf(t, Spec{Command: sh(`grep -E "^(Uid|Groups|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs):" /proc/self/status`), User: user})
		for line := range strings.Lines(got) {
			key, value, _ := strings.Cut(strings.Join(strings.Fields(line), " "), ":")
			value = strings.TrimSpace(value)
			want := strings.Repeat("0", 16)
			switch key {
			case "NoNewPrivs":
				want = "1"
			case "Uid", "Groups":
				id := os.Geteuid()
				if user == "" && len(users()) > 1 {
					id = nobodyID
				}
				switch {
				case key == "Uid":
					want = strings.TrimSpace(strings.Repeat(strconv.Itoa(id)+" ", 4))
				case id == os.Geteuid():
					want = value // whatever the daemon has
				default:
					want = strconv.Itoa(id)
				}
			}
			if value != want {
				t.Errorf("as %q: %s is %q, want %q", user, key, value, want)
			}
		}
		if n := strings.Count(got, "\n"); n != 6 {
			t.Errorf("as %q: /proc told %q", user, got)
		}
	}
}

// What a daemon that isn't root has of powers is ambient, and would outlive exec.
func TestAmbientPowers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root has powers to make ambient")
	}
	done := make(chan struct{})
	onThread(func() {
		defer close(done)
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err := unix.Capget(&header, &caps[0]); err != nil {
			t.Error(err)
		}
		caps[0].Inheritable |= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &caps[0]); err != nil {
			t.Error(err)
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_NET_ADMIN, 0, 0); err != nil {
			t.Error(err)
		}
		if got := powers(t); !strings.Contains(got, "CapAmb:\t0000000000001000") {
			t.Errorf("before: %s", got)
		}
		if err := renounce(false); err != nil {
			t.Error(err)
		}
		if got := powers(t); strings.Count(got, "0000000000000000") != 4 {
			t.Errorf("after: %s", got)
		}
	})
	<-done
}

// powers are the capabilities of the calling thread that matter for exec.
func powers(t *testing.T) (out string) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Cap") && !strings.HasPrefix(line, "CapBnd") {
			out += line
		}
	}
	return out
}

// However often a program is started, the daemon's own powers stay.
func TestOwnPowersStay(t *testing.T) {
	const starts = 30
	ended := make(chan error)
	for range starts {
		go func() {
			var s Slot
			ended <- s.Run(t.Context(), Spec{Command: []string{"true"}}, nil, time.Minute).Err
		}()
	}
	for range starts {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	main, err := os.ReadFile("/proc/self/status") // of the main thread
	if err != nil {
		t.Fatal(err)
	}
	if before := "NoNewPrivs:\t0"; strings.Contains(atStart, before) && !strings.Contains(string(main), before) {
		t.Errorf("the main thread has lost its powers:\n%s", main)
	}
}

// The daemon's environment, files, folder and process group are its own.
func TestNothingInherited(t *testing.T) {
	t.Setenv("VIPPY_TEST_SECRET", "hunter2")
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := outputOf(t, Spec{Command: sh(`pwd; tr '\0' '\n' </proc/self/environ; cut -d" " -f5 /proc/$$/stat | grep -x $$ >/dev/null && echo leads; exec ls /proc/self/fd`), Env: []string{"A=b"}})
	want := "/\nPATH=" + os.Getenv("PATH") + "\nLANG=C\nA=b\nleads\n0\n1\n2\n3" // 3 is the folder that ls reads
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A thread that goes before others gives that up, and one that goes after others doesn't.
func TestCalm(t *testing.T) {
	for _, test := range []struct{ nice, want int }{{-5, 0}, {5, 5}} {
		done := make(chan struct{})
		onThread(func() {
			defer close(done)
			// In the idle class, where somebody may run the tests, niceness can't be changed.
			_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_NORMAL}, 0)
			if err := unix.Setpriority(unix.PRIO_PROCESS, 0, test.nice); err != nil {
				if test.nice < 0 && os.Geteuid() != 0 {
					return // then there is no such thread
				}
				t.Error(err)
			}
			if err := renounce(false); err != nil {
				t.Error(err)
			}
			if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || 20-raw != test.want {
				t.Errorf("nice %d became %d (%v), want %d", test.nice, 20-raw, err, test.want)
			}
		})
		<-done
	}
}

func TestRun(t *testing.T) {
	dir, me := t.TempDir(), strconv.Itoa(os.Geteuid())
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		spec  Spec
		input string
		want  Result
		err   string
	}{
		"success":       {spec: Spec{Command: sh(`echo fine; echo more; echo hm >&2`)}, want: Result{Stdout: "fine", Stderr: "hm"}},
		"input":         {spec: Spec{Command: []string{"cat"}}, input: `{"a":1}`, want: Result{Stdout: `{"a":1}`}},
		"no input":      {spec: Spec{Command: []string{"cat"}}},
		"a status":      {spec: Spec{Command: sh(`printf '\n no \033[1mdisk\n\n' >&2; exit 2`)}, want: Result{Code: 2, Stderr: "no [1mdisk"}, err: "exit status 2"},
		"a signal":      {spec: Spec{Command: sh(`kill -TERM $$`)}, want: Result{Code: -1}, err: "signal: terminated"},
		"no program":    {spec: Spec{Command: []string{"/nowhere/x"}}, want: Result{Code: -1}, err: `cannot start: there is no program /nowhere/x`},
		"CR LF":         {spec: Spec{Command: []string{file("crlf", "#!/bin/sh\r\nexit 0\r\n")}, User: me}, want: Result{Code: -1}, err: "a line that ends in CR LF"},
		"no #!":         {spec: Spec{Command: []string{file("bare", "exit 0\n")}, User: me}, want: Result{Code: -1}, err: "nor a script that begins with #!"},
		"nothing named": {spec: Spec{}, want: Result{Code: -1}, err: "cannot start: no program is named"},
		"no such user":  {spec: Spec{Command: []string{"true"}, User: "nosuchuser"}, want: Result{Code: -1}, err: `cannot start: user "nosuchuser" does not exist on this host: create it, or name another`},
		"a flood":       {spec: Spec{Command: []string{"yes"}}, want: Result{Code: -1, Stdout: "y"}, err: "wrote more than 1 MiB"},
		"errors flood":  {spec: Spec{Command: sh(`yes '' >&2`)}, want: Result{Code: -1}, err: "wrote more than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var s Slot
			got := s.Run(t.Context(), test.spec, []byte(test.input), time.Minute)
			err := ""
			if got.Err != nil {
				err = got.Err.Error()
			}
			got.Err = nil
			if got != test.want || err != test.err && (test.err == "" || !strings.Contains(err, test.err)) {
				t.Errorf("got %+v, %q\nwant %+v, %q", got, err, test.want, test.err)
			}
		})
	}
}

// A run that is over, for whatever reason, leaves nobody of its group behind, nor, of one that
// is killed, who left it; and what a child of its holds open is not waited for.
func TestLeavesNobody(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		limit  time.Duration
		err    string
	}{
		"success": {`sleep 1000 & echo $!`, time.Minute, ""},
		"timeout": {`sleep 1000 & echo $!; wait`, 5 * time.Second, "not done within 5s"},
		"fled":    {`setsid sleep 1000 & echo $!; wait`, 5 * time.Second, "not done within 5s"},
		"fled on": {`setsid sh -c 'setsid sleep 1000 & echo $!; wait'`, 5 * time.Second, "not done within 5s"},
		"stopped": {`sleep 1000 & echo $!; : >"$1"; wait`, time.Minute, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "running")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "stopped" {
				go func() {
					defer cancel()
					for ctx.Err() == nil {
						if _, err := os.Stat(file); err == nil {
							return
						}
						time.Sleep(time.Millisecond)
					}
				}()
			}
			var s Slot
			r := s.Run(ctx, Spec{Command: sh(test.script, file)}, nil, test.limit)
			if err := r.Err; err == nil && test.err != "" || err != nil && err.Error() != test.err {
				t.Errorf("got error %v, want %q", err, test.err)
			}
			pid, err := strconv.Atoi(r.Stdout)
			if err != nil {
				t.Fatal(err)
			}
			childtest.WantDead(t, pid)
		})
	}
}

// A process that can't be killed now (here: one that nobody kills) holds the slot.
func TestStuck(t *testing.T) {
	hung, err := Start(Spec{Command: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	s := Slot{stuck: hung}
	spec := Spec{Command: []string{"true"}}
	if got := s.Run(t.Context(), spec, nil, time.Minute); got.Err == nil || !strings.Contains(got.Err.Error(), "hangs in the kernel") {
		t.Errorf("got %v, want that it hangs in the kernel", got.Err)
	}
	hung.Kill()
	<-hung.Exited()
	if got := s.Run(t.Context(), spec, nil, time.Minute); got.Err != nil || s.stuck != nil {
		t.Errorf("got %v, want success once the process is gone", got.Err)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("é", 300)
	for _, test := range []struct{ text, first, last string }{
		{"", "", ""},
		{"\n \n\t\n", "", ""},
		{"one\ntwo\r\n\n", "one", "two"},
		{"a\x1b[2Jb\x00c\u202ed\te", "a[2Jbcd e", "a[2Jbcd e"},
		{"\xff\xfe ok \xff\nend", "ok", "end"},
		{long, strings.Repeat("é", 100) + "…", strings.Repeat("é", 100) + "…"},
	} {
		if first, last := FirstLine([]byte(test.text)), LastLine([]byte(test.text)); first != test.first || last != test.last {
			t.Errorf("%q: got %q and %q, want %q and %q", test.text, first, last, test.first, test.last)
		}
	}
}

// Of much output, the beginning and the end are kept, and not taken for one line.
func TestOutputKept(t *testing.T) {
	var o output
	o.done = make(chan struct{})
	close(o.done)
	for _, s := range []string{"first\n", strings.Repeat("x", 5000), "\n", strings.Repeat("y", 100_000), "\nlast"} {
		o.keep([]byte(s))
	}
	if len(o.text) > 2*kept {
		t.Errorf("kept %d bytes", len(o.text))
	}
	o.r, o.w, _ = os.Pipe()
	defer o.w.Close()
	text := o.finish()
	if first, last := FirstLine(text), LastLine(text); first != "first" || last != "last" {
		t.Errorf("kept %q and %q", first, last)
	}
}

func TestInRanges(t *testing.T) {
	for _, test := range []struct {
		text string
		want bool
	}{
		{"         0          0 4294967295\n", true},
		{"         0       1000          1\n", false},
		{"0 1000 1\n1 100000 65535\n", true},
		{"", false},
	} {
		if got := inRanges(test.text, nobodyID); got != test.want {
			t.Errorf("%q: got %v, want %v", test.text, got, test.want)
		}
	}
}
