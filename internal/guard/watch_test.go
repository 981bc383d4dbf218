package guard

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
)

var vip = vipgroup.VIP{Address: netip.MustParsePrefix("10.0.0.1/24"), Interface: "eth0"}

// fakeWorld is a daemon that a test plays, and a kernel; the diary has what the guard did.
type fakeWorld struct {
	line   chan []byte // closed: end of file
	began  time.Time
	alive  atomic.Bool // the daemon can run
	writes atomic.Bool // and may write addresses
	told   ward        // what the guard has read
	stuck  int         // that many removals fail
	immune error
	diary  []string
	fault  string
}

func newFakeWorld() *fakeWorld {
	w := &fakeWorld{line: make(chan []byte, 1000), began: time.Now()}
	w.alive.Store(true)
	w.writes.Store(true)
	return w
}

// boottime is CLOCK_BOOTTIME.
func (w *fakeWorld) boottime() time.Duration { return time.Since(w.began) + time.Hour }

func (w *fakeWorld) write(what string) {
	w.diary = append(w.diary, fmt.Sprintf("%v %s", time.Since(w.began), what))
}

func (w *fakeWorld) next(until time.Duration) ([]byte, error) {
	read := func(m []byte, open bool) ([]byte, error) {
		if !open {
			return nil, io.EOF
		}
		_ = w.told.take(m) // which is no matter for a message that ends the guard
		return m, nil
	}
	if until == 0 {
		m, open := <-w.line
		return read(m, open)
	}
	if wait := until - w.boottime(); wait > 0 {
		late := time.NewTimer(wait)
		defer late.Stop()
		select {
		case m, open := <-w.line:
			return read(m, open)
		case <-late.C:
		}
	}
	// What came in the same instant goes first.
	select {
	case m, open := <-w.line:
		return read(m, open)
	default:
		return nil, errExpired
	}
}

func (w *fakeWorld) answer()          {}
func (w *fakeWorld) prepare(c Charge) { w.write("prepares " + strings.Join(c.Interfaces, " ")) }

func (w *fakeWorld) end() error {
	if w.immune != nil {
		return w.immune
	}
	w.alive.Store(false)
	w.writes.Store(false)
	w.write("ends the daemon")
	return nil
}

func (w *fakeWorld) clear(managed []vipgroup.VIP) ([]netplumb.Op, error) {
	if w.writes.Load() {
		w.fault = "the guard writes while the daemon may"
	}
	if w.stuck > 0 {
		w.stuck--
		w.write("fails to remove")
		return nil, errors.New("it is there again")
	}
	var ops []netplumb.Op
	for _, v := range managed {
		w.write("removes " + v.Address.Addr().String())
		ops = append(ops, netplumb.Op{Kind: netplumb.Remove, Address: v.Address, Link: v.Interface})
	}
	return ops, nil
}

func (w *fakeWorld) say(will []cluster.Datagram) bool {
	w.write("says " + string(will[0].Data))
	return true
}
func (w *fakeWorld) sleep(d time.Duration) { time.Sleep(d) }

// The messages of a daemon that began an hour after the machine did.
func charge() []byte {
	return encode(letterCharge, Charge{Managed: []vipgroup.VIP{vip}, Interfaces: []string{"eth0"}})
}
func will(words string) []byte { return encode(letterWill, []cluster.Datagram{{Data: []byte(words)}}) }
func until(d time.Duration) []byte {
	return encodeGrant(d + time.Hour)
}

var acts = []string{"removes 10.0.0.1", "says farewell", "says farewell", "says farewell", "says farewell"}

func TestWatch(t *testing.T) {
	type step struct {
		after time.Duration
		m     []byte // nil: end of file
	}
	bye, yours := []byte{byte(letterBye)}, []byte{byte(letterYours)}
	tests := []struct {
		name   string
		steps  []step
		stuck  int
		immune error
		want   []string // of the diary, after "prepares"
		at     time.Duration
		err    bool
	}{
		{name: "the daemon dies", steps: []step{{0, charge()}, {0, will("farewell")}, {0, until(time.Second)}, {300 * time.Millisecond, nil}},
			want: slices.Concat([]string{"ends the daemon"}, acts), at: 300 * time.Millisecond},
		{name: "it dies with nothing held", steps: []step{{0, charge()}, {0, will("farewell")}, {0, encodeGrant(0)}, {time.Minute, nil}},
			want: slices.Concat([]string{"ends the daemon"}, acts), at: time.Minute},
		{name: "it hangs", steps: []step{{0, charge()}, {0, will("farewell")}, {0, until(time.Second)}},
			want: slices.Concat([]string{"ends the daemon"}, acts), at: time.Second},
		{name: "it hangs after renewals", steps: []step{{0, charge()}, {0, will("farewell")}, {0, until(time.Second)},
			{900 * time.Millisecond, until(1900 * time.Millisecond)}, {900 * time.Millisecond, until(2800 * time.Millisecond)}},
			want: slices.Concat([]string{"ends the daemon"}, acts), at: 2800 * time.Millisecond},
		{name: "it takes its leave", steps: []step{{0, charge()}, {0, will("farewell")}, {0, until(time.Second)}, {time.Millisecond, bye}}},
		{name: "it gives up", steps: []step{{0, charge()}, {0, will("farewell")}, {0, until(time.Second)}, {time.Millisecond, yours}},
			want: acts, at: time.Millisecond},
		{name: "the newest will counts", steps: []step{{0, charge()}, {0, will("old")}, {0, until(time.Second)}, {time.Millisecond, will("farewell")}, {0, nil}},
			want: slices.Concat([]string{"ends the daemon"}, acts), at: time.Millisecond},
		{name: "it dies before it could hold anything", steps: []step{{0, nil}}, want: []string{"ends the daemon"}},
		{name: "what can't be removed at once is removed later", steps: []step{{0, charge()}, {0, will("farewell")}, {0, nil}}, stuck: 2,
			want: slices.Concat([]string{"ends the daemon", "fails to remove", "fails to remove"}, acts)},
		{name: "what stays is not called gone", steps: []step{{0, charge()}, {0, will("farewell")}, {0, nil}}, stuck: clearTries,
			want: slices.Concat([]string{"ends the daemon"}, slices.Repeat([]string{"fails to remove"}, clearTries)), err: true},
		{name: "a daemon that can't be ended keeps its addresses", steps: []step{{0, charge()}, {0, will("farewell")}, {0, until(time.Second)}},
			immune: errors.New("operation not permitted"), err: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFakeWorld()
				w.stuck, w.immune = tt.stuck, tt.immune
				go func() {
					for _, s := range tt.steps {
						time.Sleep(s.after)
						if s.m == nil {
							close(w.line)
							return
						}
						if letter(s.m[0]) == letterYours {
							w.writes.Store(false)
						}
						w.line <- s.m
					}
				}()
				_, v := watch(w)
				if (v.err != nil) != tt.err {
					t.Errorf("the verdict is %v", v.err)
				}
				if w.fault != "" {
					t.Error(w.fault)
				}
				var got []string
				for i, entry := range w.diary {
					at, what, _ := strings.Cut(entry, " ")
					if what == "prepares eth0" {
						continue
					}
					if len(got) == 0 && at != tt.at.String() && tt.at != 0 {
						t.Errorf("entry %d is at %s, want %v", i, at, tt.at)
					}
					got = append(got, what)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("the guard did\n%q, want\n%q", got, tt.want)
				}
			})
		})
	}
}

// A guard that was stopped itself finds grants in the line that it has not read: it must
// not act on the last one that it knows.
func TestTheLineIsReadFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFakeWorld()
		w.line <- charge()
		w.line <- will("farewell")
		for i := range 40 {
			w.line <- until(time.Second + time.Duration(i)*100*time.Millisecond)
		}
		time.Sleep(4500 * time.Millisecond) // stopped
		_, v := watch(w)
		if v.why == "" || len(w.diary) == 0 || !strings.HasPrefix(w.diary[1], "4.9s ends") {
			t.Errorf("the guard did %q, want it to act at 4.9 s, when the last grant in its line ran out", w.diary)
		}
	})
}

// Whatever a daemon does at whatever time, the guard writes only when the daemon can't,
// and never while a grant that it was told of runs.
func TestOneWriter(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		pauses := rapid.SliceOfN(rapid.IntRange(0, 1500), 1, 20).Draw(r, "pauses in ms")
		dies := rapid.Bool().Draw(r, "dies")
		var w *fakeWorld
		var ended bool
		synctest.Test(t, func(*testing.T) {
			w = newFakeWorld()
			done := make(chan struct{})
			go func() {
				defer close(done)
				w.line <- charge()
				w.line <- will("farewell")
				for _, ms := range pauses {
					if !w.alive.Load() {
						return
					}
					w.line <- encodeGrant(w.boottime() + time.Second)
					time.Sleep(time.Duration(ms) * time.Millisecond)
				}
				if ended = dies && w.alive.Load(); ended {
					close(w.line)
				}
			}()
			_, _ = watch(w)
			<-done
		})
		if w.fault != "" || w.alive.Load() {
			r.Fatalf("%s; the daemon lives: %v", w.fault, w.alive.Load())
		}
		for _, entry := range w.diary {
			at, what, _ := strings.Cut(entry, " ")
			d, err := time.ParseDuration(at)
			if err != nil {
				r.Fatal(err)
			}
			if strings.HasPrefix(what, "ends") && !ended && d+time.Hour < w.told.grant {
				r.Fatalf("the daemon was ended at %v, granted until %v", d+time.Hour, w.told.grant)
			}
		}
	})
}

func FuzzTake(f *testing.F) {
	f.Add(charge())
	f.Add(will("farewell"))
	f.Add(until(time.Second))
	f.Add([]byte("g1"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, m []byte) {
		var d ward
		if err := d.take(m); err == nil && !strings.ContainsRune("cwg", rune(m[0])) {
			t.Errorf("%q was understood", m)
		}
	})
}
