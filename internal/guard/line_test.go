package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// readLine reads a guard's line as one does whose grant has run out, and says what it finds.
func readLine() {
	p := &process{}
	for range 4 {
		m, err := p.next(time.Nanosecond)
		switch {
		case errors.Is(err, io.EOF):
			fmt.Println("the end")
			return
		case errors.Is(err, errExpired):
			fmt.Println("expired")
			buf := make([]byte, 1)
			_, _ = os.Stdin.Read(buf) // until the other end is closed
		case err != nil:
			fmt.Println(err)
			return
		default:
			fmt.Println(string(m))
		}
	}
}

// A guard that was stopped itself reads what waits in its line before it finds that a grant
// ran out.
func TestNextReadsTheLineFirst(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "guard"), os.NewFile(uintptr(pair[1]), "daemon")
	defer ours.Close()
	defer theirs.Close()
	for _, m := range []string{"one", "two"} {
		if _, err := ours.WriteString(m); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", readerWord)
	c.Stderr, c.ExtraFiles = os.Stderr, []*os.File{theirs}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	var got []string
	for said := bufio.NewScanner(out); said.Scan(); {
		if got = append(got, said.Text()); said.Text() == "expired" {
			_, _ = ours.Close(), in.Close()
		}
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if want := []string{"one", "two", "expired", "the end"}; !slices.Equal(got, want) {
		t.Errorf("it read %q, want %q", got, want)
	}
}
