package ctlsocket

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// events answers with one event a line, those that are remembered and then those that
// happen, until the client hangs up. follow=false ends after the former; after=SEQ leaves
// out what the client knows.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	after, follow, err := eventsAsked(r.URL.Query())
	if err != nil {
		refuse(w, err)
		return
	}
	lines, err := s.stream(w, r, follow)
	if err != nil {
		refuse(w, err)
		return
	}
	for {
		events, more := s.daemon.Events(after)
		for _, e := range events {
			after = e.Seq
			if lines.add(e) != nil {
				return
			}
		}
		if lines.flush() != nil || more != nil && !follow {
			return
		}
		if more == nil {
			continue
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}

func eventsAsked(q url.Values) (after uint64, follow bool, err error) {
	follow = true
	for key, values := range q {
		var bad error
		value := values[len(values)-1]
		switch key {
		case "after":
			after, bad = strconv.ParseUint(value, 10, 64)
		case "follow":
			follow, bad = strconv.ParseBool(value)
		default:
			return 0, false, &Error{http.StatusBadRequest, fmt.Sprintf("unknown parameter %q", key), "events takes after=SEQ and follow=false"}
		}
		if bad != nil {
			return 0, false, &Error{http.StatusBadRequest, fmt.Sprintf("%s: %q is not one", key, value), "events takes after=SEQ, a number, and follow=false"}
		}
	}
	return after, follow, nil
}

// Tenure says whether the node that tells it has a group: all of its addresses are in its
// kernel (an election has none), and it is not about to give it up.
type Tenure struct {
	Group string `json:"group"`
	Owner bool   `json:"owner"`
	// RemainingMS is how many milliseconds that holds from now on even if nothing more is
	// heard; 0 where Owner is false. After it another node may have the group.
	RemainingMS int64 `json:"remaining_ms"`
}

// tenure answers with one Tenure a line until the client hangs up.
func (s *server) tenure(w http.ResponseWriter, r *http.Request, word string) {
	group, ok := s.daemon.Status().Find(word)
	if !ok {
		refuse(w, noGroup(word))
		return
	}
	lines, err := s.stream(w, r, true)
	if err != nil {
		refuse(w, err)
		return
	}
	// However this ends, the end of the answer says it.
	_ = s.daemon.Tenure(r.Context(), group.Name, func(t Tenure) error {
		if err := lines.add(t); err != nil {
			return err
		}
		return lines.flush()
	})
}

// writeTime is how long a reader of a stream may take for what is sent at once.
const writeTime = 10 * time.Second

// A lineWriter is an answer that goes on for as long as both sides want: one JSON value a line.
type lineWriter struct {
	ctl  *http.ResponseController
	data *json.Encoder
}

// stream begins an answer in lines. One that goes on for ever is counted apart from the
// other connections of its user.
func (s *server) stream(w http.ResponseWriter, r *http.Request, endless bool) (*lineWriter, error) {
	if c, ok := r.Context().Value(connKey{}).(*guardedConn); ok && endless && c.linger != nil && !c.linger() {
		return nil, &Error{http.StatusServiceUnavailable, "too many streams", fmt.Sprintf("at most %d per user", streamsPerUser)}
	}
	w.Header().Set("Content-Type", "application/json")
	l := &lineWriter{ctl: http.NewResponseController(w), data: json.NewEncoder(w)}
	_ = l.ctl.SetReadDeadline(time.Time{}) // it is by reading that a hang-up is noticed
	l.data.SetEscapeHTML(false)
	return l, nil
}

// add writes a line, which may wait for the next flush. An error means that the reader
// is gone or too slow.
func (l *lineWriter) add(v any) error {
	_ = l.ctl.SetWriteDeadline(time.Now().Add(writeTime))
	return l.data.Encode(v)
}

func (l *lineWriter) flush() error { return l.ctl.Flush() }
