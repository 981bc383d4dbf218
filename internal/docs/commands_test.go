package docs

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
)

// whole are the pages whose blocks are all tried.
var whole = []string{"README.md", "docs/operations.md", "docs/migrating-from-vippy.md"}

// languages maps what a block may be to whether it holds commands; a yaml block is a
// config. text is what programs print, ini a file of some other program.
var languages = map[string]bool{"sh": true, "console": true, "yaml": false, "text": false, "ini": false}

// system maps beginnings of commands that are not run here to the reason.
var system = map[string]string{
	"make test":                       "it is what runs this test",
	"vippyctl leave":                  "it ends the daemon that the others ask; a test of cmd/vippyctl runs it",
	"systemctl daemon-reload":         "it is the host's service manager",
	"systemctl enable --now vippyd":   "it is the host's service manager",
	"systemctl disable --now vippyd":  "it is the host's service manager",
	"systemctl stop vippyd":           "it is the host's service manager",
	"systemctl restart vippyd":        "it is the host's service manager",
	"systemctl status vippyd":         "it is the host's service manager",
	"journalctl -u vippyd":            "it reads the host's journal",
	"chmod 600 /etc/vippy.conf":       "it changes a file of the host",
	"ping -c 1 ADDRESS":               "it asks a host of the reader's network",
	"nft add rule inet filter input ": "it changes the host's firewall",
}

// commands returns the command lines of a block without what follows as a comment.
func (b block) commands() (out []string) {
	for line := range strings.Lines(b.text) {
		line = strings.TrimSpace(line)
		if b.language == "console" {
			var prompt bool
			if line, prompt = strings.CutPrefix(line, "# "); !prompt {
				continue
			}
		}
		if line, _, _ = strings.Cut(line, " #"); line != "" {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// TestCommands runs each command line of the pages, or knows why not.
func TestCommands(t *testing.T) {
	h := newHost(t)
	var lines []string
	for _, page := range append(slices.Clone(whole), "docs/reference.md") {
		prose, blocks := read(t, page)
		if page == "docs/reference.md" {
			prose = "" // what it quotes are forms, such as vippyctl move GROUP NODE
		}
		for _, b := range blocks {
			holds, known := languages[b.language]
			if !known {
				t.Errorf("%s:%d: nothing tries a block of language %q", page, b.line, b.language)
			}
			if holds {
				lines = append(lines, b.commands()...)
			}
		}
		for _, q := range quoted(prose) {
			if regexp.MustCompile(`^(go|make|vippyd|vippyctl|systemctl|journalctl) [a-z-]`).MatchString(q) {
				lines = append(lines, q)
			}
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(lines) < 15 {
		t.Errorf("only %d commands were found: %q", len(lines), lines)
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) { h.try(t, line) })
	}
}

// A host is where the commands run: with the binaries as README.md builds them, its
// config, and a daemon that knows the groups of that config.
type host struct{ bin, config, socket string }

const buildLine = "CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/..."

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "vippy") // short, since a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{bin: filepath.Join(dir, "bin"), config: filepath.Join(dir, "vippy.conf"), socket: filepath.Join(dir, "s")}
	// The go command keeps a test's result until a file that the test itself opened has
	// changed, a folder's list of files included; what its child reads does not count.
	err = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != top {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.run(t, "sh", "-c", strings.Replace(buildLine, "bin/", h.bin+"/", 1))

	_, blocks := read(t, "README.md")
	i := slices.IndexFunc(blocks, func(b block) bool { return b.language == "yaml" })
	if i < 0 {
		t.Fatal("README.md shows no config")
	}
	if err := os.WriteFile(h.config, []byte(blocks[i].text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(h.config, "web1")
	if err != nil {
		t.Fatal(err)
	}
	prose, _ := os.ReadFile(filepath.Join(top, "README.md"))
	if len(c.Notices) != 1 || !strings.Contains(string(prose), "\nnotice: "+c.Notices[0]+"\n") {
		t.Errorf("the config of README.md gives other notices than it shows: %q", c.Notices)
	}
	status := ctlsocket.Status{Identity: "web1", State: ctlsocket.State{Mature: true, Active: true}}
	for _, g := range c.Plan.Groups {
		group := ctlsocket.Group{Key: g.Key.String(), Name: g.Name, Owner: "web1"}
		for _, v := range g.VIPs {
			group.Addresses = append(group.Addresses, ctlsocket.GroupAddress{Address: v.Address, Interface: v.Interface})
		}
		status.Groups = append(status.Groups, group)
	}
	d := &fake{status: status, plan: c.Plan.Encode()}
	d.history.Add(ctlsocket.Event{Time: time.Now(), Kind: "eligible"})
	l, err := ctlsocket.Listen(h.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ctlsocket.Serve(ctx, l, d) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

// fake is a daemon to which all is well.
type fake struct {
	history ctlsocket.History
	mu      sync.Mutex
	status  ctlsocket.Status
	plan    []byte
}

func (f *fake) Status() ctlsocket.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) Plan() ctlsocket.PlanReport { return ctlsocket.PlanReport{Encoding: f.plan} }

func (f *fake) Events(after uint64) ([]ctlsocket.Event, <-chan struct{}) {
	return f.history.After(after)
}

func (f *fake) IfDown(_ context.Context, _, node string) (ctlsocket.Forecast, error) {
	return ctlsocket.Forecast{Node: node, Owner: "web1"}, nil
}

func (f *fake) Tenure(_ context.Context, group string, tell func(ctlsocket.Tenure) error) error {
	return tell(ctlsocket.Tenure{Group: group, Owner: true, RemainingMS: 1000})
}

func (f *fake) Do(_ context.Context, c ctlsocket.Command) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Verb == ctlsocket.Upgrade {
		f.status.Program.Since = time.Now()
	}
	return "done", nil
}

// try runs one command line on the host.
func (h *host) try(t *testing.T, line string) {
	for beginning := range system {
		if strings.HasPrefix(line, beginning) {
			return
		}
	}
	words := strings.Fields(strings.ReplaceAll(strings.Replace(line, "go run ./cmd/", "", 1), "/etc/vippy.conf", h.config))
	for i, w := range words {
		words[i] = strings.Replace(w, ctlsocket.DefaultSocket, h.socket, 1)
	}
	program, args := filepath.Join(h.bin, words[0]), words[1:]
	flagsOnly := len(args) > 0 && strings.HasPrefix(args[0], "-")
	switch {
	case line == buildLine: // newHost ran it
	case words[0] == "install":
		h.install(t, args)
	case words[0] == "curl":
		h.curl(t, line)
	case words[0] == "vippyctl" && slices.Contains(args, "-f"): // would never end
		h.run(t, program, append(args, "--help")...)
	case words[0] == "vippyctl" && !flagsOnly:
		for i, w := range args {
			if w == "GROUP" || w == "ADDRESS" {
				args[i] = "192.0.2.10"
			}
		}
		h.run(t, program, slices.Insert(args, 0, "-s", h.socket)...)
	case slices.Equal(words, []string{"vippyd", "lab"}):
		if testing.Short() {
			t.Skip("left out by -short: needs network namespaces")
		}
		h.run(t, program, "lab", "--nodes", "2", "--groups", "2", "--fault", "none")
	case words[0] == "vippyd" && !flagsOnly && args[0] == "check":
		h.run(t, program, append([]string{"check", "-c", h.config}, args[1:]...)...)
	case words[0] == "vippyd" || words[0] == "vippyctl": // the flags are read, and the help is printed
		at := 1
		if flagsOnly {
			at = 0
		}
		help := h.run(t, program, slices.Insert(slices.Clone(args), at, "--help")...)
		for i, w := range args {
			if w == "--fault" && !regexp.MustCompile(`[ ,]`+args[i+1]+`\b`).MatchString(help) {
				t.Errorf("there is no fault %s", args[i+1])
			}
		}
	default:
		t.Error("nothing tries this command: teach try, or say in system why not")
	}
}

// curl runs a line that asks the daemon, by curl itself where there is one.
func (h *host) curl(t *testing.T, line string) {
	line = strings.NewReplacer("/var/run/vippy.socket", h.socket, "GROUP", "192.0.2.10").Replace(line)
	if _, err := exec.LookPath("curl"); err == nil {
		if out := h.run(t, "sh", "-c", line); out == "" || strings.Contains(out, `"error"`) {
			t.Errorf("the answer is %q", out)
		}
		return
	}
	asked := regexp.MustCompile(`^curl .*?(?:-d '(.*)' )?"?http://[a-z]+(/[^ "]*)"?( \|.*)?$`).FindStringSubmatch(line)
	if asked == nil {
		t.Fatal("without curl, nothing understands this line")
	}
	client, body, path := ctlsocket.Client{Socket: h.socket}, asked[1], asked[2]
	if body == "" {
		enough := errors.New("enough")
		if err := client.Lines(t.Context(), path, func(json.RawMessage) error { return enough }); !errors.Is(err, enough) {
			t.Error(err)
		}
		return
	}
	c := ctlsocket.Command{Verb: ctlsocket.Verb(strings.TrimPrefix(path, "/"))}
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// install sees that there is what would be installed.
func (h *host) install(t *testing.T, args []string) {
	for _, file := range args[2 : len(args)-1] { // without -m, a mode and the target
		where := filepath.Join(top, file)
		if built, ok := strings.CutPrefix(file, "bin/"); ok {
			where = filepath.Join(h.bin, built)
		}
		if _, err := os.Stat(where); err != nil {
			t.Error(err)
		}
	}
}

// run runs a program at the top of the project and returns what it printed.
func (h *host) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = top
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestConfigs parses each config of the pages; what a piece of one lacks is added.
func TestConfigs(t *testing.T) {
	needed := []struct{ keys, text string }{
		{"secret|secrets|secret_file", "secret: a secret text of length\n"},
		{"nodes", "nodes: [web1, web2]\n"},
		{"vips", "vips: []\n"},
	}
	parsed := 0
	for _, page := range whole {
		_, blocks := read(t, page)
		for _, b := range blocks {
			if b.language != "yaml" {
				continue
			}
			text := b.text
			for _, n := range needed {
				if !regexp.MustCompile(`(?m)^[ '"]*(` + n.keys + `)['"]?:`).MatchString(b.text) {
					text += n.text
				}
			}
			parsed++
			if _, err := config.Parse(page, []byte(text)); err != nil {
				t.Errorf("%s:%d: %v\n%s", page, b.line, err, text)
			}
		}
	}
	if parsed < 5 {
		t.Errorf("only %d configs were found", parsed)
	}
}
