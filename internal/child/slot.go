package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// MaxOutput is how many bytes one run of a program may write, to stdout and to stderr,
// before it is killed.
const MaxOutput = 1 << 20

// grace is how long to wait for a killed process to be gone, and then for the end of
// its output. Both are there at once but for a stuck process, or one that fled.
const grace = time.Second

// A Slot runs programs that end, one at a time. Its zero value is ready.
type Slot struct {
	// stuck is a killed process that is not gone yet, and holds the slot.
	stuck *Process
}

// A Result is how a run ended.
type Result struct {
	// Err is nil for exit status 0.
	Err error
	// Code is the exit status, -1 where there is none: not started, killed, stuck.
	Code int
	// Stdout is the first line that the program wrote there, Stderr the last, both fit
	// for a log: printable, on one line, not too long.
	Stdout, Stderr string
}

// Run runs a program until it ends by itself, has run for limit, or ctx is cancelled;
// then it is killed with all that it started, or known to be stuck in the kernel: a slot
// starts no other beside that. The program reads input from stdin; the Spec's own files
// are not used.
func (s *Slot) Run(ctx context.Context, spec Spec, input []byte, limit time.Duration) Result {
	if s.stuck != nil {
		if gone, _ := s.stuck.Reap(grace); !gone {
			return Result{Code: -1, Err: fmt.Errorf("process %d was killed but hangs in the kernel", s.stuck.PID())}
		}
		s.stuck = nil
	}
	r, err := s.run(ctx, spec, input, limit)
	if err != nil {
		return Result{Code: -1, Err: fmt.Errorf("cannot start: %w", err)}
	}
	return r
}

func (s *Slot) run(ctx context.Context, spec Spec, input []byte, limit time.Duration) (Result, error) {
	var err error
	spec.Stdin = nil
	if len(input) > 0 {
		if spec.Stdin, err = memory(input); err != nil {
			return Result{}, err
		}
		defer spec.Stdin.Close()
	}
	out, err := newOutput()
	if err != nil {
		return Result{}, err
	}
	errs, err := newOutput()
	if err != nil {
		return Result{}, errors.Join(err, out.close())
	}
	spec.Stdout, spec.Stderr = out.w, errs.w
	p, err := Start(spec)
	if err = errors.Join(err, out.w.Close(), errs.w.Close()); err != nil {
		if p != nil {
			p.Kill()
			<-p.exited
			_, _ = p.Reap(grace)
		}
		return Result{}, errors.Join(err, out.close(), errs.close())
	}
	out.read()
	errs.read()

	timer := time.NewTimer(limit)
	defer timer.Stop()
	var why error
	select {
	case <-p.Exited():
	case <-timer.C:
		why = fmt.Errorf("not done within %v", limit)
	case <-out.flood:
		why = errFlood
	case <-errs.flood:
		why = errFlood
	case <-ctx.Done():
		why = ctx.Err()
	}
	p.Kill()
	res := Result{Code: -1, Err: why}
	if gone, err := p.Reap(grace); !gone {
		s.stuck = p
		if res.Err == nil {
			res.Err = errors.New("hangs in the kernel")
		}
	} else if why == nil {
		var exit *exec.ExitError
		if res.Err = err; err == nil {
			res.Code = 0
		} else if errors.As(err, &exit) {
			res.Code = exit.ExitCode()
		}
	}
	res.Stdout, res.Stderr = FirstLine(out.finish()), LastLine(errs.finish())
	return res, nil
}

var errFlood = fmt.Errorf("wrote more than %d MiB", MaxOutput>>20)

// memory returns a file that holds data, open at its start. A pipe would need somebody
// who waits for its reader.
func memory(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "stdin")
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// kept is how much of each end of the output is kept, in bytes.
const kept = 1024

// An output is what a program writes to one of its files. The pipe is our own: exec's
// would make Wait wait for whoever keeps it open.
type output struct {
	r, w  *os.File
	flood chan struct{} // closed when there was too much
	done  chan struct{} // closed when text is complete
	text  []byte        // the beginning and the end
	cut   bool          // something is missing between them
}

func newOutput() (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &output{r: r, w: w, flood: make(chan struct{}), done: make(chan struct{})}, nil
}

func (o *output) read() {
	go func() {
		defer close(o.done)
		buf := make([]byte, 16<<10)
		for total := 0; ; {
			n, err := o.r.Read(buf)
			o.keep(buf[:n])
			if total += n; total > MaxOutput {
				close(o.flood)
				return
			}
			if err != nil { // by the last writer, or by the deadline of finish
				return
			}
		}
	}()
}

func (o *output) keep(p []byte) {
	o.text = append(o.text, p...)
	if over := len(o.text) - 2*kept; over > 0 {
		o.text, o.cut = append(o.text[:kept], o.text[kept+over:]...), true
	}
}

// finish waits for the end of what was written.
func (o *output) finish() []byte {
	// Only a process that left the group can still hold the pipe open.
	_ = o.r.SetReadDeadline(time.Now().Add(grace))
	<-o.done
	_ = o.r.Close()
	text := o.text
	if o.cut {
		text = slices.Concat(text[:kept], []byte("\n"), text[kept:])
	}
	return bytes.ToValidUTF8(text, nil)
}

func (o *output) close() error {
	_ = o.w.Close() // most often closed before
	return o.r.Close()
}
