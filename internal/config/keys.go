package config

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vippy-ha/vippy/vipgroup"
)

// staleSlack is what `stale` must leave beside three intervals: time for the last packet to
// arrive, and for the addresses to be asked (docs/protocol.md, "Asking an address").
const staleSlack = 50 * time.Millisecond

// maxSocketPath is the longest path that fits sockaddr_un (unix(7)), with its final zero.
const maxSocketPath = 107

// shortSecret is the length below which a secret is worth a notice.
const shortSecret = 16

// sampleSecret stands in the examples, so it is no secret.
const sampleSecret = "change this to a long random text"

const makeSecret = "`openssl rand -base64 24` makes a good one"

// defaults returns what a file that names nothing gets.
func defaults(path string) *Config {
	return &Config{
		Path:        path,
		Chat:        netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 254}), 5007),
		Cluster:     "vippy",
		Interval:    100 * time.Millisecond,
		Stale:       500 * time.Millisecond,
		Mature:      5 * time.Second,
		Lifetime:    time.Second,
		ArpCache:    15 * time.Second,
		NotifyRate:  1000,
		Management:  "/var/run/vippy.socket",
		StateDir:    "/var/lib/vippy",
		Logging:     Logging{Driver: "console", Facility: "local7", Mask: defaultMask()},
		Reload:      Manual,
		WhenAllFail: Keep,
	}
}

// topFields are the keys of a file, in the order of docs/reference.md.
func (w *walker) topFields() fields {
	c := w.cfg
	w.pause = 10 * time.Second
	return fields{
		{"secret", w.secret},
		{"secret_file", w.readSecretFile},
		{"secrets", w.secrets},
		{"cluster", w.clusterName},
		{"version", func(n node) {
			v, _ := w.integer(n, "a whole number", 0, 1<<53-1)
			w.plan.Version = uint64(v)
		}},
		{"nodes", w.nodes},
		{"voters", w.voters},
		{"vips", w.vips},
		{"partition", func(n node) { w.partition(n, &w.plan.Partition) }},
		{"rebalance", func(n node) {
			s, _ := w.oneOf(n, "manual", "auto")
			w.rebalance = s == "auto"
		}},
		{"rebalance_pause", w.duration(&w.pause, 0.1, 86400)},
		{"chat", w.chat},
		{"chat_interface", w.chatInterface},
		{"peers", w.peers},
		{"interval", w.duration(&c.Interval, 0.01, 60)},
		{"stale", w.duration(&c.Stale, 0.08, 600)},
		{"mature", w.duration(&c.Mature, 0, 3600)},
		{"lifetime", func(n node) {
			s, ok := w.integer(n, "a whole number of seconds", 1, 3600)
			if ok {
				c.Lifetime = time.Duration(s) * time.Second
			}
		}},
		{"witness", w.witness},
		{"arp-cache", w.duration(&c.ArpCache, 1, 86400)},
		{"notify", w.notify},
		{"notify_rate", func(n node) {
			if v, ok := w.integer(n, "a number of frames a second", 1, 1_000_000); ok {
				c.NotifyRate = int(v)
			}
		}},
		{"checks", w.checks},
		{"when_all_fail", func(n node) {
			if s, ok := w.oneOf(n, string(Keep), string(Drop)); ok {
				c.WhenAllFail = WhenAllFail(s)
			}
		}},
		{"hooks", w.hooks},
		{"plugins", w.programs},
		{"management", func(n node) {
			s, ok := w.path(n)
			if ok && len(s) > maxSocketPath {
				w.fault(n, "%d bytes; the path of a socket has at most %d", len(s), maxSocketPath)
			} else if ok {
				c.Management = s
			}
		}},
		{"state_dir", func(n node) {
			if s, ok := w.path(n); ok {
				c.StateDir = s
			}
		}},
		{"logging", func(n node) { w.object(n, w.loggingFields()) }},
		{"reload", func(n node) {
			if s, ok := w.oneOf(n, string(Manual), string(Auto)); ok {
				c.Reload = Reload(s)
			}
		}},
	}
}

// duration returns what reads a number of seconds into d.
func (w *walker) duration(d *time.Duration, low, high float64) func(node) {
	return func(n node) {
		if v, ok := w.seconds(n, low, high); ok {
			*d = v
		}
	}
}

// secret takes one secret. Its faults never show what was found.
func (w *walker) secret(n node) {
	s, ok := scalarText(n.ast)
	switch {
	case !ok:
		w.fault(n, "expected a text in quotes")
	case s == "":
		w.fault(n, "is empty: all nodes share a secret text")
	case len(s) > MaxSecret:
		w.fault(n, "%d bytes; a secret has at most %d", len(s), MaxSecret)
	default:
		w.addSecret(n.path, s)
	}
}

func (w *walker) addSecret(key, text string) {
	switch {
	case text == sampleSecret:
		w.notice("%s: this is the text of the examples, which everybody knows: %s", key, makeSecret)
	case len(text) < shortSecret:
		w.notice("%s: shorter than %d characters, so it can be guessed: %s", key, shortSecret, makeSecret)
	}
	w.cfg.Secrets = append(w.cfg.Secrets, NewSecret(text))
}

func (w *walker) secrets(n node) {
	seq, ok := n.ast.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 {
		w.fault(n, "expected a list of texts, the first of which signs")
		return
	}
	w.list(n, "texts", w.secret)
}

func (w *walker) readSecretFile(n node) {
	s, ok := scalarText(n.ast)
	if !ok || !path.IsAbs(s) || strings.ContainsRune(s, 0) {
		// Not shown: people put the secret itself here.
		w.fault(n, "expected the absolute path of a file with the secret in it")
		return
	}
	w.cfg.SecretFile, w.secretFile = s, n
}

func (w *walker) clusterName(n node) {
	if s, ok := w.word(n, "the cluster's name"); ok {
		w.cfg.Cluster = s
	}
}

// word returns a name as nodes and clusters have it: it goes into packets and logs.
func (w *walker) word(n node, what string) (string, bool) {
	s, ok := w.text(n, what)
	switch {
	case !ok:
	case len(s) > 63:
		w.fault(n, "%s is longer than 63 bytes", quote(s))
	case strings.ContainsRune(s, ' '):
		w.fault(n, "%s holds a space", quote(s))
	default:
		return s, true
	}
	return "", false
}

func (w *walker) nodes(n node) {
	first := map[string]node{}
	w.list(n, "node names", func(e node) {
		s, ok := w.word(e, "a node's name")
		if other, dup := first[s]; ok && dup {
			w.fault(e, "%s is listed twice (first at %s)", quote(s), other.at())
		} else if ok {
			first[s] = e
			w.plan.Nodes = append(w.plan.Nodes, s)
		}
	})
	switch {
	case len(w.plan.Nodes) > vipgroup.MaxNodes:
		w.fault(n, "%d nodes; a cluster has at most %d", len(w.plan.Nodes), vipgroup.MaxNodes)
	case len(w.plan.Nodes) == 0 && !w.faultyBelow(n):
		w.fault(n, "is empty: list the names of all nodes")
	}
}

// nodeName returns a reference to a node, checked when the whole file is read.
func (w *walker) nodeName(n node) (string, bool) {
	s, ok := w.text(n, "a node's name")
	if ok {
		w.later = append(w.later, func() {
			if len(w.plan.Nodes) > 0 && !slices.Contains(w.plan.Nodes, s) {
				w.fault(n, "%s is not one of nodes%s", quote(s), didYouMean(s, w.plan.Nodes))
			}
		})
	}
	return s, ok
}

func (w *walker) voters(n node) {
	first := map[string]node{}
	w.list(n, "node names", func(e node) {
		s, ok := w.word(e, "a voter's name")
		if other, dup := first[s]; ok && dup {
			w.fault(e, "%s is listed twice (first at %s)", quote(s), other.at())
		} else if ok {
			first[s] = e
			w.plan.Voters = append(w.plan.Voters, s)
		}
	})
	if len(w.plan.Voters) == 0 && !w.faulty("voters") && !w.faultyBelow(n) {
		w.fault(n, "is empty: list who counts for a majority, or leave it out for all nodes")
	}
	w.later = append(w.later, func() { w.members(n) })
}

func (w *walker) partition(n node, p *vipgroup.Partition) {
	if s, ok := w.oneOf(n, string(vipgroup.Available), string(vipgroup.Single)); ok {
		*p = vipgroup.Partition(s)
	}
}

// path returns an absolute path: the daemon's working directory is nobody's business.
func (w *walker) path(n node) (string, bool) {
	s, ok := w.text(n, "a path")
	if ok && !path.IsAbs(s) {
		w.fault(n, "%s is not an absolute path: start it with /", quote(s))
		return "", false
	}
	return s, ok
}
