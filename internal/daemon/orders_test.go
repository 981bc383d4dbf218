package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
)

// trio starts three nodes with six groups.
func trio(t *testing.T, w *world) []*fakeNode {
	t.Helper()
	text := strings.Replace(planText, "[a, b]", "[a, b, c]", 1)
	for i := 3; i <= 6; i++ {
		text += fmt.Sprintf("  - {name: g%d, addresses: [{interface: eth0, ip: 10.0.0.%d/24}]}\n", i, i)
	}
	var nodes []*fakeNode
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, w.start(t, name, text))
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
	return nodes
}

func endAll(t *testing.T, nodes []*fakeNode) {
	t.Helper()
	for _, n := range nodes {
		if err := n.end(); err != nil {
			t.Error(err)
		}
	}
}

// do asks for a change as alice and returns what comes of it.
func (n *fakeNode) do(verb ctlsocket.Verb, c ctlsocket.Command) (string, error) {
	c.Verb, c.By = verb, "alice"
	return n.loop.Do(n.t.Context(), c)
}

// saysNo says whether err is a refusal with a code and words.
func saysNo(err error, code int, words string) bool {
	e := (*ctlsocket.Error)(nil)
	return errors.As(err, &e) && e.Code == code && strings.Contains(e.Error(), words)
}

func TestDrainOfAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		a, b, c := nodes[0], nodes[1], nodes[2]
		message, err := a.do(ctlsocket.Drain, ctlsocket.Command{Node: "b", For: 1800})
		if err != nil || !strings.Contains(message, "b is drained") {
			t.Fatalf("%q, %v\n%s", message, err, b.log)
		}
		time.Sleep(2 * time.Second)
		if got := b.kernel.addresses(); len(got) > 0 {
			t.Errorf("the drained node has %v", got)
		}
		want := "drained until 2000-01-01T00:30Z by alice at a since 2000-01-01T00:00Z"
		if p := c.loop.Status().Peers[1]; p.Node != "b" || p.Reason != want {
			t.Errorf("c says of %s %q", p.Node, p.Reason)
		}
		if d, err := b.state.loadDrain(time.Now()); err != nil || d == nil || d.By != "alice" || d.From != "a" {
			t.Errorf("b keeps %+v, %v", d, err)
		}
		if message, err := c.do(ctlsocket.Undrain, ctlsocket.Command{Node: "b"}); err != nil || message != "b takes part again" {
			t.Errorf("%q, %v", message, err)
		}
		if message, err := c.do(ctlsocket.Undrain, ctlsocket.Command{Node: "b"}); err != nil || message != "b was not drained" {
			t.Errorf("a second time: %q, %v", message, err)
		}
		if message, err := a.do(ctlsocket.Drain, ctlsocket.Command{Node: "a"}); err != nil || a.loop.Status().Drained == nil {
			t.Errorf("by its own name: %q, %v", message, err)
		}
		if _, err := a.do(ctlsocket.Drain, ctlsocket.Command{Node: "nobody"}); !saysNo(err, http.StatusConflict, `no other node "nobody"`) {
			t.Errorf("a node that isn't there: %v", err)
		}
		if err := c.end(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := a.do(ctlsocket.Drain, ctlsocket.Command{Node: "c"}); !saysNo(err, http.StatusConflict, "c is not heard") {
			t.Errorf("a node that left: %v", err)
		}
		endAll(t, nodes[:2])
	})
}

// Two orders at once to one node are given one after the other, and who waits when the core
// starts over is told.
func TestOrdersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		answers := make(chan error)
		for range 5 {
			go func() {
				_, err := nodes[0].do(ctlsocket.Drain, ctlsocket.Command{Node: "b"})
				answers <- err
			}()
		}
		for range 5 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		w.mu.Lock()
		w.cut = "b"
		w.mu.Unlock()
		go func() {
			_, err := nodes[0].do(ctlsocket.Undrain, ctlsocket.Command{Node: "b"})
			answers <- err
		}()
		time.Sleep(100 * time.Millisecond)
		nodes[0].suspend(3 * time.Second)
		if err := <-answers; !saysNo(err, http.StatusGatewayTimeout, "started over") {
			t.Errorf("got %v", err)
		}
		endAll(t, nodes)
	})
}

func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		from := w.length()
		owner := nodes[0].loop.Status().Groups[0].Owner
		for _, to := range []string{"a", "b", "c", "a"} {
			if to == owner {
				continue
			}
			message, err := nodes[1].do(ctlsocket.Move, ctlsocket.Command{Group: "web", Node: to})
			if want := fmt.Sprintf("web moved from %s to %s", owner, to); err != nil || message != want {
				t.Fatalf("%q, %v, want %q", message, err, want)
			}
			owner = to
		}
		removed, added := w.find(from, "removes"), w.find(from, "adds")
		if removed < 0 || added < removed {
			t.Errorf("added at %d before it was removed at %d", added, removed)
		}
		if i := w.find(from, "adds", "10.0.0.2"); i >= 0 {
			t.Error("another group moved")
		}
		if message, err := nodes[0].do(ctlsocket.Move, ctlsocket.Command{Group: "10.0.0.1", Node: "a"}); err != nil || message != "web is on a already" {
			t.Errorf("%q, %v", message, err)
		}
		time.Sleep(20 * time.Second)
		if got := nodes[2].loop.Status().Groups[0].Owner; got != "a" {
			t.Errorf("it went on to %s", got)
		}
		for _, c := range []struct {
			command ctlsocket.Command
			code    int
			words   string
		}{
			{ctlsocket.Command{Group: "nothing", Node: "a"}, http.StatusUnprocessableEntity, `no group "nothing"`},
			{ctlsocket.Command{Group: "web", Node: "z"}, http.StatusUnprocessableEntity, `no node "z"`},
		} {
			if _, err := nodes[0].do(ctlsocket.Move, c.command); !saysNo(err, c.code, c.words) {
				t.Errorf("%+v: %v", c.command, err)
			}
		}
		if _, err := nodes[1].do(ctlsocket.Drain, ctlsocket.Command{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := nodes[0].do(ctlsocket.Move, ctlsocket.Command{Group: "web", Node: "b"}); !saysNo(err, http.StatusConflict, "b can't have anything: drained") {
			t.Errorf("to a drained node: %v", err)
		}
		if _, err := nodes[1].do(ctlsocket.Move, ctlsocket.Command{Group: "web", Node: "b"}); !saysNo(err, http.StatusConflict, "vippyctl undrain b") {
			t.Errorf("to this node, which is drained: %v", err)
		}
		endAll(t, nodes)
	})
}

func TestRebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		if message, err := nodes[0].do(ctlsocket.Rebalance, ctlsocket.Command{}); err != nil || !strings.HasPrefix(message, "nothing to move") {
			t.Errorf("%q, %v", message, err)
		}
		for _, verb := range []ctlsocket.Verb{ctlsocket.Drain, ctlsocket.Undrain} {
			if _, err := nodes[2].do(verb, ctlsocket.Command{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		if got := nodes[2].kernel.addresses(); len(got) > 0 {
			t.Fatalf("c has %v already", got)
		}
		message, err := nodes[0].do(ctlsocket.Rebalance, ctlsocket.Command{})
		if err != nil || message != "moved 2 groups: the load is even now" {
			t.Errorf("%q, %v", message, err)
		}
		for _, n := range nodes {
			if got := n.kernel.addresses(); len(got) != 2 {
				t.Errorf("%s has %v", n.name, got)
			}
		}
		endAll(t, nodes)
	})
}

// A group that goes away and comes back before anybody looks is released and taken all the
// same: hooks of the other node may have run.
func TestAwayForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		owner := nodes[0].loop.Status().Groups[0].Owner
		var home *fakeNode
		for _, n := range nodes {
			if n.name == owner {
				home = n
			}
		}
		told, _ := home.loop.Events(0)
		last := told[len(told)-1].Seq
		for _, to := range []string{map[string]string{"a": "b", "b": "c", "c": "a"}[owner], owner} {
			if _, err := home.do(ctlsocket.Move, ctlsocket.Command{Group: "web", Node: to}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		var got []string
		news, _ := home.loop.Events(last)
		for _, e := range news {
			if e.Group == "web" {
				got = append(got, e.Kind)
			}
		}
		if want := []string{"releasing", "released", "taking", "taken"}; !slices.Equal(got, want) {
			t.Errorf("its events are %v, want %v", got, want)
		}
		endAll(t, nodes)
	})
}

// What is ordered and doesn't come is told as that, with where it is.
func TestMoveThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		owner := nodes[0].loop.Status().Groups[0].Owner
		for _, n := range nodes {
			if n.name == owner {
				n.kernel.jam()
			}
		}
		to := map[string]string{"a": "b", "b": "c", "c": "a"}[owner]
		_, err := nodes[0].do(ctlsocket.Move, ctlsocket.Command{Group: "web", Node: to})
		if !saysNo(err, http.StatusConflict, fmt.Sprintf("web did not come to %s: it is on %s (vippyctl explain web, on %s)", to, owner, to)) {
			t.Errorf("got %v", err)
		}
		for _, n := range nodes {
			n.stop()
			<-n.ended // one of them can't clear its kernel
		}
	})
}

// A balance that can't be reached, or not in time, is told with what was done of it.
func TestRebalanceThatEnds(t *testing.T) {
	uneven := func(t *testing.T, w *world) []*fakeNode {
		nodes := trio(t, w)
		for _, verb := range []ctlsocket.Verb{ctlsocket.Drain, ctlsocket.Undrain} {
			if _, err := nodes[2].do(verb, ctlsocket.Command{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		return nodes
	}
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := uneven(t, &w)
		var first string // the node that gives the first group is not the one that gives the second
		if err := nodes[0].loop.inLoop(t.Context(), func(time.Time) {
			k, _, _ := nodes[0].loop.node.NextMove()
			first = nodes[0].loop.node.Owners(k)[0]
		}); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if n.name != first {
				n.kernel.jam()
			}
		}
		_, err := nodes[0].do(ctlsocket.Rebalance, ctlsocket.Command{})
		if !saysNo(err, http.StatusConflict, "moved 1 group; then: ") || !saysNo(err, http.StatusConflict, "did not come to c: it is on ") {
			t.Errorf("got %v", err)
		}
		for _, n := range nodes {
			n.stop()
			<-n.ended
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := uneven(t, &w)
		turn := nodes[0].loop.ordering.turn
		turn <- struct{}{} // somebody else's order takes its time
		time.AfterFunc(rebalanceWithin+time.Second, func() { <-turn })
		_, err := nodes[0].do(ctlsocket.Rebalance, ctlsocket.Command{})
		if !saysNo(err, http.StatusConflict, "moved 1 group, and more are to be moved (vippyctl rebalance, once more)") {
			t.Errorf("got %v", err)
		}
		endAll(t, nodes)
	})
}

// An order that this program doesn't know is denied by name, and changes nothing.
func TestOrderOfTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", planText)
		time.Sleep(time.Second)
		if _, err := n.loop.carryOut(t.Context(), cluster.Order{Kind: 77}, "b"); !saysNo(err, http.StatusConflict, "vippyd test at a doesn't know this order (upgrade it)") {
			t.Errorf("got %v", err)
		}
		endAll(t, []*fakeNode{n})
	})
}

func TestIfDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		s := nodes[0].loop.Status()
		for _, g := range s.Groups {
			f, err := nodes[0].loop.IfDown(t.Context(), g.Key, g.Owner)
			if err != nil || f.Node != g.Owner || f.Owner == g.Owner || f.Owner == "" || f.Reason != "evens the load" {
				t.Errorf("%s without %s: %+v, %v", g.Name, g.Owner, f, err)
			}
			others := slices.DeleteFunc([]string{"a", "b", "c"}, func(n string) bool { return n == g.Owner })
			if f, err := nodes[0].loop.IfDown(t.Context(), g.Key, others[0]); err != nil || f.Owner != g.Owner || f.Reason != "already there" {
				t.Errorf("%s without %s: %+v, %v", g.Name, others[0], f, err)
			}
		}
		if _, err := nodes[0].loop.IfDown(t.Context(), s.Groups[0].Key, "z"); !saysNo(err, http.StatusNotFound, `no node "z"`) {
			t.Errorf("got %v", err)
		}
		endAll(t, nodes)
	})
}

// Who is ordered to leave hands over and ends as one that is stopped.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := trio(t, &w)
		if message, err := nodes[1].do(ctlsocket.Leave, ctlsocket.Command{}); err != nil || !strings.Contains(message, "b leaves") {
			t.Fatalf("%q, %v", message, err)
		}
		if err := <-nodes[1].ended; err != nil {
			t.Error(err)
		}
		nodes[1].stop()
		time.Sleep(time.Second)
		if got := append(nodes[0].kernel.addresses(), nodes[2].kernel.addresses()...); len(got) != 6 || len(nodes[1].kernel.addresses()) > 0 {
			t.Errorf("b has %v, the others %v", nodes[1].kernel.addresses(), got)
		}
		if _, err := nodes[1].do(ctlsocket.Drain, ctlsocket.Command{}); !saysNo(err, http.StatusConflict, "stopping") {
			t.Errorf("an order to who has left: %v", err)
		}
		endAll(t, []*fakeNode{nodes[0], nodes[2]})
	})
}
