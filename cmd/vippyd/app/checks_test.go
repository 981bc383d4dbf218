package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vippy-ha/vippy/check"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

func TestChecks(t *testing.T) {
	key := vipgroup.Key{1, 2}
	c := &config.Config{Checks: []config.Check{
		{Name: "disk", Command: []string{"true"}, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2, Bar: true, Penalty: 7},
		{Name: "web", Command: []string{"true"}, Interval: time.Second, Penalty: 5, Groups: []vipgroup.Key{key}},
	}}
	want := []plugin.Plugin{
		check.Exec{Label: "disk", Command: []string{"true"}, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2},
		check.Exec{Label: "web", Command: []string{"true"}, Interval: time.Second, Penalty: 5, Groups: []string{key.String()}},
	}
	if diff := cmp.Diff(want, checks(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
