package app

import (
	"fmt"
	"log/slog"
	"log/syslog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vippy-ha/vippy/internal/config"
)

// The syslog daemon gets each line with the facility of the file and the severity of the
// line, in Vippy's scale: the story of ownership is a notice.
func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := config.Parse("vippy.conf", []byte(`{ 'secret': 'a secret of some length', 'nodes': [ 'a' ], 'vips': [],
		'logging': { 'driver': 'syslog', 'facility': 'local3', 'mask': { 'notice': true, 'err': true, 'warning': false } } }`))
	if err != nil {
		t.Fatal(err)
	}
	w, err := syslog.Dial("unixgram", path, facility(c.Logging), "vippyd")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	q := newQueue(newOutlet(syslogHandlers(w), c.Logging.Keeps))
	log := q.logger()
	log.Debug("packets")
	log.Warn("what may matter")
	log.Info("took web", "group", "web")
	log.Error("cannot add it", slog.String("err", "no such device"))
	q.close()

	const local3 = 19
	for _, want := range []struct {
		severity config.Severity
		says     string
	}{
		{config.Notice, `msg="took web" group=web`},
		{config.Err, `msg="cannot add it" err="no such device"`},
	} {
		line := make([]byte, 1000)
		n, err := l.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		got := string(line[:n])
		if priority := fmt.Sprintf("<%d>", local3*8+want.severity); !strings.HasPrefix(got, priority) || !strings.Contains(got, want.says) {
			t.Errorf("got %q, want priority %s and %q", got, priority, want.says)
		}
	}
}
