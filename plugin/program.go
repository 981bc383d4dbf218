package plugin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/internal/child"
)

// A Program is a plugin that is a program of its own: any that reads and writes the lines
// of docs/plugins.md. It runs without the daemon's powers (see internal/child). It ends,
// and is started again by the runner, when it writes what is no such line.
type Program struct {
	// Label is the plugin's name.
	Label string
	// Command is the program and its arguments; no shell is involved.
	Command []string
	// User is who it runs as; "" means nobody where the daemon is root, else the daemon's
	// own user.
	User string
	// Timeout is how long it may say nothing before it counts as hanging and is killed;
	// 0 means for ever.
	Timeout time.Duration
	// Penalty is what its end costs this node; 0 means that it bars it.
	Penalty int
	// Silent says that its end costs nothing: it only listens.
	Silent bool
	// Groups limits what its end means to groups, by name, key or address; none means the
	// whole node.
	Groups []string
}

// Name returns the label.
func (p Program) Name() string { return p.Label }

// Ended implements Ender.
func (p Program) Ended(reason string) []Vote {
	if p.Silent {
		return nil
	}
	vote := Vote{Bar: p.Penalty == 0, Penalty: p.Penalty, Reason: reason}
	if len(p.Groups) == 0 {
		return []Vote{vote}
	}
	votes := make([]Vote, len(p.Groups))
	for i, group := range p.Groups {
		votes[i] = vote
		votes[i].Group = group
	}
	return votes
}

// How a program ends: it is told, has stopWithin to end by itself, and is killed. A killed
// one is gone within killWithin, unless it hangs in the kernel.
const (
	stopWithin = time.Second
	killWithin = 500 * time.Millisecond
)

// Run starts the program and works for it until it ends, or ctx is cancelled and it was
// made to end. Then nobody of its process group is left.
func (p Program) Run(ctx context.Context, h Host) error {
	files, theirs, err := pipes()
	if err != nil {
		return err
	}
	s := &supervised{Program: p, host: h, files: files, spoke: make(chan struct{}, 1)}
	s.state, _ = h.(interface{ note(func(*Report)) })
	process, err := child.Start(child.Spec{
		Command: p.Command, Env: []string{"VIPPY_PLUGIN=" + p.Label}, User: p.User,
		Stdin: theirs.in, Stdout: theirs.out, Stderr: theirs.err,
	})
	theirs.close()
	if err != nil {
		files.close()
		return fmt.Errorf("cannot start: %w", err)
	}
	s.note(func(r *Report) { r.PID = process.PID() })
	return s.attend(ctx, process)
}

// supervised is one run of a program.
type supervised struct {
	Program
	host  Host
	state interface{ note(func(*Report)) } // nil where nobody wants to know
	files stdio
	spoke chan struct{} // holds a token when a line came

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
	var timer <-chan time.Time
	for {
		if s.Timeout > 0 {
			timer = time.After(s.Timeout)
		}
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
		case <-timer:
			return fmt.Errorf("said nothing for %v", s.Timeout)
		case <-s.spoke:
		}
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

// A program's lines are read at its pace for a while, then at ours: it waits, and nobody
// else does.
const (
	linesAtOnce   = 1000
	linesASecond  = 100
	errorsAtOnce  = 20
	errorsASecond = 1
	// Of what it logs, more is thrown away; for more answers it waits.
	logsAtOnce     = 100
	logsASecond    = 10
	answersAtOnce  = 10
	answersASecond = 1
)

// read hears the program out, and returns what is wrong with its last line, nil at the end.
func (s *supervised) read(ctx context.Context) error {
	pace := newPace(linesAtOnce, linesASecond)
	logs, answers := newPace(logsAtOnce, logsASecond), newPace(answersAtOnce, answersASecond)
	in := bufio.NewReaderSize(s.files.out, 4096)
	for {
		line, err := readLine(in)
		if err != nil {
			return err
		}
		if line == nil {
			return nil
		}
		if !pace.wait(ctx) {
			return nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		h, err := parseLine(line)
		if err != nil {
			return fmt.Errorf("wrote %q, which is no line of the protocol: %w", child.Line(line), err)
		}
		switch {
		case h.record != nil:
			s.log(ctx, *h.record, logs)
		case h.status && answers.wait(ctx):
			s.answer(ctx)
		default:
			s.host.Vote(h.votes...)
		}
		select {
		case s.spoke <- struct{}{}:
		default:
		}
	}
}

func (s *supervised) log(ctx context.Context, r slog.Record, pace *pace) {
	log := s.host.Log().Handler()
	if !log.Enabled(ctx, r.Level) {
		return
	}
	if pace.take(time.Now()) > 0 {
		s.unlogged++
		return
	}
	if s.unlogged > 0 {
		r.AddAttrs(slog.Int("unlogged", s.unlogged))
		s.unlogged = 0
	}
	_ = log.Handle(ctx, r)
}

func (s *supervised) answer(ctx context.Context) {
	if now, err := s.host.Status(ctx); err == nil {
		_ = s.say(said{Event: answer, Status: &now})
	}
}

// readErrors keeps the last line of stderr, and puts some into the log.
func (s *supervised) readErrors(ctx context.Context) {
	slow, log := newPace(linesAtOnce, linesASecond), newPace(errorsAtOnce, errorsASecond)
	in := bufio.NewReaderSize(s.files.err, 4096)
	for {
		line, err := readLine(in)
		if line == nil && err == nil || !slow.wait(ctx) {
			return
		}
		text := child.Line(line)
		if text == "" {
			continue
		}
		s.last = text
		s.note(func(r *Report) { r.Stderr = text })
		if log.take(time.Now()) == 0 {
			s.host.Log().Info("stderr: " + text)
		} else {
			s.host.Log().Debug("stderr: " + text)
		}
	}
}

// readLine returns the next line, nil at the end, and an error where it is too long: then
// with its beginning.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return line[:maxLine], fmt.Errorf("wrote a line of more than %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && len(line) == 0:
			return nil, nil
		}
		return line, nil
	}
}

// stdio are the three files between the daemon and a program, one end of each.
type stdio struct{ in, out, err *os.File }

func (s stdio) close() {
	for _, f := range []*os.File{s.in, s.out, s.err} {
		_ = f.Close()
	}
}

func pipes() (ours, theirs stdio, err error) {
	var ends []*os.File
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			for _, f := range ends {
				_ = f.Close()
			}
			return ours, theirs, fmt.Errorf("make a pipe: %w", err)
		}
		ends = append(ends, r, w)
	}
	return stdio{ends[1], ends[2], ends[4]}, stdio{ends[0], ends[3], ends[5]}, nil
}
