package lab

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
)

// A flood reaches a socket of the chat as single datagrams of every kind, from the other
// nodes' addresses and with TTL 255.
func TestFloodReachesTheChat(t *testing.T) {
	c := bench(t)
	c.twin = &node{port: c.client}
	c.conf.secret = "swordfish"
	a := c.nodes[0]
	var conn *ipv4.PacketConn
	err := a.space.do(func() error {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{Port: chatPort})
		if err != nil {
			return err
		}
		conn = ipv4.NewPacketConn(udp)
		if err := conn.JoinGroup(&net.Interface{Index: a.link.Attrs().Index}, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 254)}); err != nil {
			return err
		}
		return conn.SetControlMessage(ipv4.FlagTTL, true)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := c.flood(); err != nil {
		t.Fatal(err)
	}
	begins := map[string]forgery{
		"VIP\x01\x01\x38\x25\x6c\xe8": badSeal, // the key id of "swordfish" in docs/protocol.md
		"VIP\x01\x01":                 otherKey,
		"":                            rubbish,
	}
	seen := map[forgery]bool{}
	buf := make([]byte, 2048)
	for len(seen) < len(begins) {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, cm, from, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		longest, kind := -1, rubbish
		for begin, k := range begins {
			if bytes.HasPrefix(buf[:n], []byte(begin)) && len(begin) > longest {
				longest, kind = len(begin), k
			}
		}
		want := c.twin.addr
		if kind == badSeal {
			want = c.nodes[1].addr
		}
		if addr := from.(*net.UDPAddr).AddrPort(); n != forgedSize || cm.TTL != 255 || addr.Addr() != want {
			t.Fatalf("%d bytes with TTL %d from %v, want %d with 255 from %v", n, cm.TTL, addr, forgedSize, want)
		}
		seen[kind] = true
	}
	if err := c.heal(); err != nil {
		t.Fatal(err)
	}
	if c.flooded == 0 {
		t.Error("nobody knows how much it was")
	}
}

// A flood whose turns are late is as large all the same, and comes at most twice as fast
// afterwards.
func TestFloodMakesUpForLateTurns(t *testing.T) {
	const most = 2 * floodRate / 1000
	for _, late := range []time.Duration{0, 300 * time.Microsecond, time.Millisecond, 20 * time.Millisecond} {
		const length = 2 * time.Second
		sent, at := 0, time.Duration(0)
		for turn := 1; at < length; turn++ {
			n := floodTurn(at, sent) * floodBurst
			if n > most {
				t.Fatalf("%d datagrams at once, %v late: want at most %d", n, late, most)
			}
			sent += n
			if at += time.Millisecond; turn%100 == 0 {
				at += late
			}
		}
		if rate := float64(sent) / length.Seconds(); rate < 100_000 || rate > floodRate {
			t.Errorf("every hundredth turn %v late: %.0f datagrams a second, want 100,000 to %d", late, rate, floodRate)
		}
	}
}

// Forged datagrams, as many as there may be, cost no node an address.
func TestDrillFloods(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	var out, diag bytes.Buffer
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, Faults: []string{"flood"}, Stdout: &out, Stderr: &diag})
	if err != nil || !ok {
		t.Fatalf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	results, _ := lines(t, out.String())
	if len(results) != 1 || results[0].Rate == 0 || !strings.Contains(diag.String(), "forged datagrams a second") {
		t.Errorf("nobody says how much it was: %s%s", out.String(), diag.String())
	}
}
