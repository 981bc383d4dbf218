package config

import (
	"testing"
)

func TestTmp(t *testing.T) {
	for _, f := range []string{"testdata/vippy-readme.conf", "../../examples/two-nodes.conf", "../../examples/three-nodes.conf", "../../examples/reference.conf"} {
		data, _, err := readFile(f, MaxSize)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(f, data)
		t.Logf("%+v\n%v", c, err)
	}
}
