package bench

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// A family is a process and what it started; signals reach all of it, and it is seen to end.
func TestFamily(t *testing.T) {
	parent := exec.CommandContext(t.Context(), "sh", "-c", "sleep 1000 & echo; wait")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 1)) // it has started its child
	all, err := family(parent.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer forget(all)
	if len(all) != 2 || all[0].pid != parent.Process.Pid || all[0].role(all) == all[1].role(all) {
		t.Errorf("the family of a shell with a child: %+v", all)
	}
	if err := signal(all, unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := await(all); err != nil {
		t.Error(err)
	}
	parent.Wait()
	if err := signal(all, unix.SIGKILL); err != nil {
		t.Errorf("a signal to who has ended: %v", err)
	}
	if gone, err := family(parent.Process.Pid); err != nil || len(gone) != 0 {
		t.Errorf("the family of who has ended: %v %v", gone, err)
	}
}

func TestUse(t *testing.T) {
	if mem, err := resident(os.Getpid()); err != nil || mem.private <= 0 || mem.share < mem.private || mem.resident < mem.share {
		t.Errorf("memory %+v (%v), want resident ≥ share ≥ private > 0", mem, err)
	}
	before, err := processor(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for now := before; now == before; { // until this loop itself has used a tick
		if now, err = processor(os.Getpid()); err != nil || now < before {
			t.Fatalf("processor time went from %v to %v (%v)", before, now, err)
		}
	}
}
