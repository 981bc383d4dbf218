package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/internal/child"
)

// supervised is one run of a program.
type supervised struct {
	Program
	host  Host
	state interface{ note(func(*Report)) } // nil where nobody wants to know
	files stdio
	// silence runs while the next line is waited for, and not while the program waits for us.
	silence *time.Timer

	mu   sync.Mutex // held while a line is written
	last string     // line of stderr
	// unlogged counts lines that were thrown away since the last one that wasn't.
	unlogged int
}

func (s *supervised) note(f func(*Report)) {
	if s.state != nil {
		s.state.note(f)
	}
}

// attend serves the program until it is gone.
func (s *supervised) attend(ctx context.Context, process *child.Process) error {
	running, end := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	rubbish := make(chan error, 1)
	helpers.Go(func() { rubbish <- s.read(running) })
	helpers.Go(func() { s.readErrors(running) })
	helpers.Go(func() { s.write(running) })

	why, told := s.wait(ctx, process, rubbish), ctx.Err() != nil
	if told {
		s.part(process)
	}
	process.Kill()
	gone, status := process.Reap(killWithin)
	if !gone {
		// It has ended for all that it is good for, but two of one plugin would vote
		// against each other.
		why = fmt.Errorf("process %d was killed but hangs in the kernel", process.PID())
		s.host.Vote(s.Ended(why.Error())...)
		for !gone {
			gone, _ = process.Reap(time.Hour)
		}
	}
	// What it wrote before its end is still to be read; only who left the group can hold
	// the files open.
	late := time.Now().Add(killWithin)
	_ = s.files.out.SetReadDeadline(late)
	_ = s.files.err.SetReadDeadline(late)
	_ = s.files.in.Close() // ends the writer
	end()
	helpers.Wait()
	s.files.close()
	if told {
		return nil
	}
	if why == nil {
		why = status
	}
	if why == nil {
		why = errors.New("exit status 0")
	}
	if s.last != "" {
		why = fmt.Errorf("%w: %s", why, s.last)
	}
	return why
}

// wait waits for a reason to end, nil for the program's own.
func (s *supervised) wait(ctx context.Context, process *child.Process, rubbish <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case <-process.Exited():
		return nil
	case err := <-rubbish:
		if err == nil {
			// It closed stdout: most often because it ended.
			select {
			case <-process.Exited():
			case <-time.After(killWithin):
				err = errors.New("closed its stdout")
			}
		}
		return err
	case <-s.silence.C:
		return fmt.Errorf("said nothing for %v", s.Timeout)
	}
}

// part tells the program to end, and gives it the time to.
func (s *supervised) part(process *child.Process) {
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	_ = s.files.in.SetWriteDeadline(time.Now().Add(stopWithin))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = s.say(said{Event: stop})
		_ = s.files.in.Close()
	}()
	select {
	case <-process.Exited():
	case <-late.C:
	}
	_ = s.files.in.Close() // if say still waits
	<-sent
}

// say writes a line; it waits for a program that doesn't read.
func (s *supervised) say(line said) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.files.in.Write(append(text, '\n'))
	return err
}

// write tells the program what happens. One that doesn't read loses the oldest events.
func (s *supervised) write(ctx context.Context) {
	err := s.say(said{Event: hello, Protocol: protocol, Plugin: s.Label})
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case e := <-s.host.Events():
			err = s.say(eventLine(e))
		}
	}
	// It closed its stdin: it doesn't listen, which is no fault.
}
