package plugin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vippy-ha/vippy/internal/child"
)

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
		if s.Timeout > 0 {
			s.silence.Reset(s.Timeout)
		}
		line, err := readLine(in)
		s.silence.Stop()
		if err != nil {
			return err
		}
		if line == nil {
			return nil
		}
		if !pace.waitFor(ctx, line) {
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
		case h.status:
			if answers.wait(ctx) {
				s.answer(ctx)
			}
		default:
			s.host.Vote(h.votes...)
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

// answer tells the program the status. One that asks and then doesn't read is silent.
func (s *supervised) answer(ctx context.Context) {
	now, err := s.host.Status(ctx)
	if err != nil {
		return
	}
	if s.Timeout > 0 {
		s.silence.Reset(s.Timeout)
		defer s.silence.Stop()
	}
	_ = s.say(said{Event: answer, Status: &now})
}

// readErrors keeps the last line of stderr, and puts some into the log.
func (s *supervised) readErrors(ctx context.Context) {
	slow, log := newPace(linesAtOnce, linesASecond), newPace(errorsAtOnce, errorsASecond)
	in := bufio.NewReaderSize(s.files.err, 4096)
	for {
		line, err := readLine(in)
		if line == nil && err == nil || !slow.waitFor(ctx, line) {
			return
		}
		text := child.Line(line[:min(len(line), lineUnit)])
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
