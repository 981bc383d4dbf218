package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// interact leaves the cluster up and does what a person types, until quit, the end of the
// input or the end of ctx.
func (d *driller) interact(ctx context.Context, in io.Reader) error {
	fmt.Fprintln(d.screen.out, "The daemons listen here:")
	for _, n := range d.nodes {
		fmt.Fprintf(d.screen.out, "  vippyctl -s %s status\n", n.socket.Socket)
	}
	fmt.Fprintln(d.screen.out, "Type help, status, a fault and perhaps a node, or quit.")
	lines, done := make(chan string), make(chan struct{})
	defer close(done)
	go func() { // ends with the next line or the input: a read can't be called off
		defer close(lines)
		for sc := bufio.NewScanner(in); sc.Scan(); {
			select {
			case lines <- sc.Text():
			case <-done:
				return
			}
		}
	}()
	victim := d.nodes[0]
	for {
		fmt.Fprint(d.screen.out, "lab> ")
		var words []string
		select {
		case <-ctx.Done():
			return ctx.Err()
		case text, ok := <-lines:
			if !ok {
				return nil
			}
			words = strings.Fields(text)
		}
		if len(words) == 0 {
			continue
		}
		switch {
		case words[0] == "quit" || words[0] == "exit":
			return nil
		case words[0] == "help":
			fmt.Fprintf(d.screen.out, "status: who holds what\nquit: take everything down\na fault, and a node where it isn't the last one's: %s\n",
				strings.Join(FaultNames(), ", "))
		case words[0] == "status":
			for _, l := range d.table() {
				fmt.Fprintln(d.screen.out, l)
			}
		case slices.Contains(FaultNames(), words[0]):
			if len(words) > 1 {
				n := d.node(words[1])
				if n == nil {
					fmt.Fprintf(d.screen.out, "no node is called %q\n", words[1])
					continue
				}
				victim = n
			}
			r, err := d.fault(ctx, words[0], victim, "")
			if err != nil {
				return err
			}
			d.screen.result(r)
		default:
			fmt.Fprintf(d.screen.out, "%q is not known; type help\n", words[0])
		}
	}
}
