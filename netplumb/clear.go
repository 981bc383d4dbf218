package netplumb

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A Cleaner is ready to Clear: its socket is open, so that nothing but the removal is
// left to be done when it must be quick. It belongs to one goroutine, and works in the
// network namespace of the thread that made it.
type Cleaner struct{ k *kernel }

// NewCleaner opens the socket and looks at all addresses once, so that the way there is
// known to work.
func NewCleaner() (*Cleaner, error) {
	k, err := openKernel()
	if err != nil {
		return nil, err
	}
	if _, err := k.look(0); err != nil {
		k.close()
		return nil, err
	}
	return &Cleaner{k}, nil
}

// Close closes the socket.
func (c *Cleaner) Close() { c.k.close() }

// Clear removes every address that carries the Mark or is one of managed, but for what the
// host itself goes by; it sees them gone, and returns the removals. It is for processes that
// run no Plumber.
func (c *Cleaner) Clear(managed []vipgroup.VIP) ([]Op, error) {
	k := c.k
	clear(k.names) // a link may have got another name since
	have, err := k.look(0)
	if err != nil {
		return nil, err
	}
	var removed []Op
	refused := make(map[place]error)
	var removals []Op
	for _, op := range Diff(nil, managed, have, 0) {
		if op.Kind == Remove {
			removals = append(removals, op)
		} else if link, exists, err := k.link(op.Link); exists && err == nil {
			_ = k.promote(link.index) // without it the removal may take others along, but must not wait
		}
	}
	for chunk := range slices.Chunk(removals, batch) {
		errs := k.change(chunk)
		at := Monotonic()
		for i, op := range chunk {
			if errs[i] != nil {
				refused[op.place()] = errs[i]
				continue
			}
			op.At = at
			removed = append(removed, op)
		}
	}
	if have, err = k.look(0); err != nil {
		return removed, err
	}
	var errs []error
	for _, op := range Diff(nil, managed, have, 0) {
		if op.Kind != Remove {
			continue
		}
		err := refused[op.place()]
		if err == nil {
			err = errors.New("it is there again: does another program add it?")
		}
		errs = append(errs, fmt.Errorf("remove %s from %s: %w", op.Address, op.Link, err))
	}
	return removed, errors.Join(errs...)
}
