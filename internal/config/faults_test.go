package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected faults in testdata")

// TestFaults reads testdata/faults-*.txt: files that are wrong, each followed by "---"
// and every fault as a person sees it.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, want, ok := strings.Cut(string(data), "---\n")
			if !ok {
				t.Fatal("no --- line")
			}
			_, err = Parse("vippy.conf", []byte(text))
			if err == nil {
				t.Fatal("no fault found")
			}
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(text+"---\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestFaultLines has one line per rule, put behind a file that is right.
func TestFaultLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`intervl: 1`, `4:1: unknown key "intervl"; did you mean "interval"?`},
		{`arp_cache: 1`, `4:1: unknown key "arp_cache"; did you mean "arp-cache"?`},
		{`interval: .nan`, `4:11: interval: expected a number of seconds, found .nan`},
		{`interval: .inf`, `4:11: interval: expected a number of seconds, found .inf`},
		{`interval: "NaN"`, `4:11: interval: expected a number of seconds, found "NaN"`},
		{`interval: "inf"`, `4:11: interval: expected a number of seconds, found "inf"`},
		{`interval: -1`, `4:11: interval: "-1" is out of range; expected a number of seconds from 0.01 to 60`},
		{`interval: 1e400`, `4:11: interval: "1e400" is out of range; expected a number of seconds from 0.01 to 60`},
		{`interval: 0x10`, `4:11: interval: expected a number of seconds, found 0x10`},
		{`interval: 1_0`, `4:11: interval: expected a number of seconds, found 1_0`},
		{`interval: 010`, `4:11: interval: expected a number of seconds, found 010`},
		{`interval: fast`, `4:11: interval: expected a number of seconds, found "fast"`},
		{`interval: [1]`, `4:11: interval: expected a number of seconds, found a list`},
		{`interval:`, `4:11: interval: expected a number of seconds, found nothing`},
		{`interval: 1 s`, `4:11: interval: expected a number of seconds, found "1 s": write 1`},
		{`interval: 100ms`, `4:11: interval: expected a number of seconds, found "100ms": write 0.1`},
		{`chat_interface: 10.8.3.300`, `4:17: chat_interface: "10.8.3.300" is not an address`},
		{`witness: 10.8.03.1`, `4:10: witness: "10.8.03.1" is not an address; write it without leading zeros`},
		{` cluster: a`, `4:2: not YAML or JSON here: value is not allowed in this context; indent a line like its neighbours, and put text that has a colon in quotes`},
		{`cluster: a: b`, `4:10: not YAML or JSON here: mapping value is not allowed in this context; indent a line like its neighbours, and put text that has a colon in quotes`},
		{`cluster: @a`, `4:10: not YAML or JSON here: '@' is a reserved character; text that starts with it goes in quotes`},
		{`cluster: |abc`, `4:10: text that starts with | or > goes in quotes`},
		{`cluster: "\a\q"`, `4:14: an unknown escape; text that has a \ goes in single quotes`},
		{`checks: {a}`, "4:10: checks: expected `key: value` (a colon needs a space after it)"},
		{`cluster: a secret b`, `4:10: cluster: "a secret…" holds a space`},
		{`secretfile: a`, `4:1: unknown key "secret…"; did you mean "secret_file"?`},
		{`secret-file: a`, `4:1: unknown key "secret-file"; did you mean "secret_file"?`},
		{`cluster: {a`, `4:11: not YAML or JSON here: could not find flow map content; a comment starts with #, and text that has a bracket goes in quotes`},
		{`peers: [a`, `4:8: not YAML or JSON here: sequence end token ']' not found; a bracket that opens here is not closed`},
		{`cluster: "a`, `4:10: not YAML or JSON here: could not find end character of double-quoted text; a quote that opens here is not closed`},
		{`lifetime: 1.5`, `4:11: lifetime: 1.5 is not whole; expected a whole number of seconds`},
		{`lifetime: 0`, `4:11: lifetime: "0" is out of range; expected a whole number of seconds from 1 to 3600`},
		{`stale: 0.3`, `4:1: stale: 0.3 s is less than 3 interval + 0.05 = 0.35 s: raise stale, or lower interval (0.1 s) to at most 0.083 s`},
		{`interval: 0.2`, `4:1: stale: 0.5 s is less than 3 interval + 0.05 = 0.65 s: raise stale, or lower interval (0.2 s) to at most 0.15 s`},
		{`version: -1`, `4:10: version: "-1" is out of range; expected a whole number from 0 to 9007199254740991`},
		{`version: 1.5`, `4:10: version: 1.5 is not whole; expected a whole number`},
		{`chat: 10.0.0.1:5007`, `4:7: chat: "10.0.0.1:5007" is not an IPv4 multicast address (224.0.0.0 to 239.255.255.255)`},
		{`chat: "[ff02::1]:5007"`, `4:7: chat: "[ff02::1]:5007" is not an IPv4 multicast address (224.0.0.0 to 239.255.255.255)`},
		{`chat: 224.0.0.254`, `4:7: chat: "224.0.0.254" is not ADDRESS:PORT such as "224.0.0.254:5007", none or none:PORT`},
		{`chat: 224.0.0.254:0`, `4:7: chat: "224.0.0.254:0": the port is out of range; expected 1 to 65535`},
		{`chat: 224.0.0.254:65536`, `4:7: chat: "224.0.0.254:65536" is not ADDRESS:PORT such as "224.0.0.254:5007", none or none:PORT`},
		{`chat: none`, `4:7: chat: there is no multicast group, so peers must list the hosts of all nodes`},
		{`chat: none:0` + "\n" + `peers: [10.8.3.2]`, `4:7: chat: "none:0": the port is out of range; expected 1 to 65535`},
		{`chat: "none:"` + "\n" + `peers: [10.8.3.2]`, `4:7: chat: "none:" is not ADDRESS:PORT such as "224.0.0.254:5007", none or none:PORT`},
		{`chat_interface: [all, eth0]`, `4:18: chat_interface[0]: "all" stands alone: remove it or the others`},
		{`chat_interface: a-name-that-is-too-long`, `4:17: chat_interface: "a-name-that-is-too-long" is not an interface: its name has at most 15 bytes`},
		{`cluster: two words`, `4:10: cluster: "two words" holds a space`},
		{`cluster: 5`, `4:10: cluster: expected the cluster's name, found 5: put it in quotes`},
		{`witness: 10.8.3.1/24`, `4:10: witness: "10.8.3.1/24" is not an address; write 10.8.3.1 without the prefix`},
		{`witness: [127.0.0.1]`, `4:11: witness[0]: "127.0.0.1" is a loopback address, which no other host can reach`},
		{`peers: ["[2001:db8::2]:7000"]`, `4:9: peers[0]: "[2001:db8::2]:7000" is an IPv6 address; chat and witnesses speak IPv4`},
		{`peers: [224.0.0.1]`, `4:9: peers[0]: "224.0.0.1" is a multicast address, which no host can have`},
		{`peers: [10.8.3.2, "10.8.3.2:5007"]`, `4:19: peers[1]: 10.8.3.2:5007 is listed twice`},
		{`peers: ["10.8.3.2:0"]`, `4:9: peers[0]: "10.8.3.2:0": the port is out of range; expected 1 to 65535`},
		{`peers: [10.8.3.195]`, `4:9: peers[0]: 10.8.3.195 is one of vips, which moves from host to host: name a host's own address`},
		{`peers: [node2]`, `4:9: peers[0]: "node2" is not an address; names are not looked up`},
		{`peers: [10.8.3.2:99999]`, `4:9: peers[0]: "10.8.3.2:99999": the port is out of range; expected 1 to 65535`},
		{`notify: [arp-cashe]`, `4:10: notify[0]: "arp-cashe" is neither "arp-cache" nor an object with interface, ip; did you mean "arp-cache"?`},
		{`notify: [ { ip: 10.8.3.1/24 } ]`, `4:11: notify[0]: interface is missing`},
		{`partition: both`, `4:12: partition: "both" is none of available, single`},
		{`rebalance: atuo`, `4:12: rebalance: "atuo" is none of manual, auto; did you mean "auto"?`},
		{`reload: true`, `4:9: reload: expected manual or auto, found true: put it in quotes`},
		{`voters: []`, `4:9: voters: is empty: list who counts for a majority, or leave it out for all nodes`},
		{`voters: [a b]`, `4:10: voters[0]: "a b" holds a space`},
		{`voters: [` + manyNames(31) + `]`, `4:9: voters: 34 nodes and voters together; a cluster has at most 32`},
		{`voters: [node1, node1]`, `4:17: voters[1]: "node1" is listed twice (first at 4:10)`},
		{`management: vippy.socket`, `4:13: management: "vippy.socket" is not an absolute path: start it with /`},
		{`management: /` + strings.Repeat("x", 107), `4:13: management: 108 bytes; the path of a socket has at most 107`},
		{`secrets: [x]`, `4:1: secrets: secret is given at 1:1: keep one of secret, secret_file and secrets`},
		{`logging: { driver: posix }`, `4:20: logging.driver: "posix" is none of console, syslog`},
		{`logging: { mask: { warn: true } }`, `4:20: logging.mask: unknown key "warn"; known are emerg, alert, crit, err, warning, notice, info, debug`},
		{`logging: { mask: { err: yes } }`, `4:25: logging.mask.err: expected true or false, found "yes"`},
		{`logging: console`, `4:10: logging: expected an object with driver, facility, mask, found "console"`},
		{`checks: { a: {} }`, `4:14: checks.a: one of command, http, tcp, process, file is missing`},
		{`checks: { a: { command: x, tcp: "h:1" } }`, `4:28: checks.a.tcp: command is given at 4:16: a check has one of command, http, tcp, process, file`},
		{`checks: { a: { command: x, expect: y } }`, `4:28: checks.a.expect: goes with http, and this check has command: remove it`},
		{`checks: { a: { http: "http://h/", user: y } }`, `4:35: checks.a.user: goes with command, and this check has http: remove it`},
		{`checks: { a: { http: "user:password@host" } }`, `4:22: checks.a.http: is no URL such as http://127.0.0.1:8080/health`},
		{`checks: { a: { tcp: localhost } }`, `4:21: checks.a.tcp: "localhost" is not HOST:PORT such as 127.0.0.1:5432`},
		{`checks: { a: { tcp: "h:http" } }`, `4:21: checks.a.tcp: "h:http" is not HOST:PORT such as 127.0.0.1:5432`},
		{`checks: { a: { process: run/x.pid } }`, `4:25: checks.a.process: "run/x.pid" is neither a program's name nor the absolute path of a pid file`},
		{`checks: { a: { file: flag } }`, `4:22: checks.a.file: "flag" is not an absolute path: start it with /`},
		{`checks: { a: { file: /flag, when: gone } }`, `4:35: checks.a.when: "gone" is none of there, missing`},
		{`checks: { a: { command: x, exit_codes: nagois } }`, `4:40: checks.a.exit_codes: "nagois" is none of plain, nagios; did you mean "nagios"?`},
		{`plugins: [ping]`, `4:11: plugins[0]: "ping" is not an absolute path: start it with /`},
		{`plugins: /bin/ping`, `4:10: plugins: expected a list of plugins, each the path of a program or an object, found "/bin/ping": put it in brackets [ ], or behind a dash`},
		{`plugins: [ { name: x } ]`, `4:12: plugins[0]: command is missing`},
		{`plugins: [ /a/x, { command: [ /b/x ] } ]`, `4:18: plugins[1]: another plugin is called "x", too: give one of them another name`},
		{`plugins: [ /a/x, { command: [ /b/y ], on_fail: nothing } ]`, `4:48: plugins[1].on_fail: "nothing" is not one of "bar", "penalty N" or "ignore"`},
		{`plugins: [ { command: [ /b/y ], groups: web } ]`, `4:41: plugins[0].groups: "web" is no group of vips`},
		{`plugins: [ /a/x ]` + "\n" + `checks: { x: { command: y } }`, `4:12: plugins[0]: a check is called "x", too: give the plugin another name`},
		{`checks: { a: { command: [] } }`, `4:25: checks.a.command: is empty; expected a program and its arguments`},
		{`checks: { a: { command: x, on_fail: penalty } }`, `4:37: checks.a.on_fail: "penalty" is neither "bar" nor "penalty N"`},
		{`checks: { a: { command: x, on_fail: penalty 0 } }`, `4:37: checks.a.on_fail: "penalty 0" is out of range; expected a penalty from 1 to 1000000`},
		{`checks: { a: { command: x, groups: [web] } }`, `4:37: checks.a.groups[0]: "web" is no group of vips`},
		{`hooks: { take: x }`, `4:10: hooks: unknown key "take"; did you mean "taken"?`},
		{`interval: 0.1` + "\n" + `interval: 0.1`, `5:1: interval: key repeated (first at 4:1): remove one`},
		{`chat:224.0.0.1:5`, "4:1: expected `key: value` (a colon needs a space after it)"},
		{"logging:\n\tdriver: console", `5:1: a tab indents this line; outside of brackets YAML wants spaces`},
		{`reload: *auto`, `4:9: anchors, aliases, tags, directives and ? keys are not used here; text that starts with "*" goes in quotes`},
		{"reload: \x01", `4:9: byte 0x01 is not text: save the file as UTF-8 without control characters`},
		{"cluster: ü\xff", `4:11: byte 0xff is not text: save the file as UTF-8 without control characters`},
		{"---\na: 1", `5:2: a second document; a config is one`},
		{"cluster: " + strings.Repeat("[", 17), `4:26: brackets nest deeper than 16`},
	} {
		_, err := Parse("f", []byte(minimal+c.line))
		if err == nil {
			t.Errorf("%q: no fault found", c.line)
		} else if got := strings.TrimPrefix(err.Error(), "f:"); got != c.want {
			t.Errorf("%q\n got %s\nwant %s", c.line, got, c.want)
		}
	}
}

// TestFaultVIPs has one group per rule, in a file that is otherwise right.
func TestFaultVIPs(t *testing.T) {
	for _, c := range []struct{ group, want string }{
		{`[ { interface: eth0, ip: 10.8.3.395/24 } ]`, `vips[0][0].ip: "10.8.3.395/24" is not an address`},
		{`[ { interface: eth0, ip: 10.8.3.1/33 } ]`, `vips[0][0].ip: "10.8.3.1/33": its length "33" is out of range; expected a number from 1 to 32`},
		{`[ { interface: eth0, ip: 10.8.3.1/255.255.255.0 } ]`, `vips[0][0].ip: "10.8.3.1/255.255.255.0": its length "255.255.255.0" is out of range; expected a number from 1 to 32; write 10.8.3.1/24`},
		{`[ { interface: eth0, ip: 10.8.3.1/255.0.255.0 } ]`, `vips[0][0].ip: "10.8.3.1/255.0.255.0": its length "255.0.255.0" is out of range; expected a number from 1 to 32`},
		{`[ { interface: eth0, ip: 10.8.3.010/24 } ]`, `vips[0][0].ip: "10.8.3.010/24" is not an address; write it without leading zeros`},
		{`[ { interface: eth0, ip: www.example.org } ]`, `vips[0][0].ip: "www.example.org" is not an address; names are not looked up`},
		{`[ { interface: eth0, ip: "fd00::1/129" } ]`, `vips[0][0].ip: "fd00::1/129": its length "129" is out of range; expected a number from 1 to 128`},
		{`[ { interface: eth0, ip: 10.8.3.1/0 } ]`, `vips[0][0].ip: "10.8.3.1/0" has the prefix /0, which would route everything to the interface`},
		{`[ { interface: eth0, ip: 10.8.3.0/24 } ]`, `vips[0][0].ip: "10.8.3.0/24" is its network's own address, not a host's`},
		{`[ { interface: eth0, ip: 10.8.3.127/25 } ]`, `vips[0][0].ip: "10.8.3.127/25" is its network's broadcast address, not a host's`},
		{`[ { interface: eth0, ip: 127.0.0.2/8 } ]`, `vips[0][0].ip: "127.0.0.2/8" is a loopback address, which no other host can reach`},
		{`[ { interface: eth0, ip: 224.0.0.5 } ]`, `vips[0][0].ip: "224.0.0.5" is a multicast address, which no host can have`},
		{`[ { interface: eth0, ip: 0.0.0.0 } ]`, `vips[0][0].ip: "0.0.0.0" is the unspecified address`},
		{`[ { interface: eth0, ip: 255.255.255.255 } ]`, `vips[0][0].ip: "255.255.255.255" is in a reserved range (RFC 6890)`},
		{`[ { interface: eth0, ip: "::1" } ]`, `vips[0][0].ip: "::1" is a loopback address, which no other host can reach`},
		{`[ { interface: eth0, ip: "ff02::5" } ]`, `vips[0][0].ip: "ff02::5" is a multicast address, which no host can have`},
		{`[ { interface: eth0, ip: "fe80::1%eth0" } ]`, `vips[0][0].ip: "fe80::1%eth0" has a zone: name the interface with its own key`},
		{`[ { interface: eth0, ip: "::ffff:10.8.3.1" } ]`, `vips[0][0].ip: "::ffff:10.8.3.1" is an IPv4 address in IPv6 clothes: write 10.8.3.1`},
		{`[ { interface: eth0, ip: 10.8 } ]`, `vips[0][0].ip: expected an address such as 10.8.3.195/24, found 10.8: put it in quotes`},
		{`[ { ip: 10.8.3.1 } ]`, `vips[0][0]: interface is missing`},
		{`[ { interface: eth0 } ]`, `vips[0][0]: ip is missing`},
		{`[ { interface: "", ip: 10.8.3.1 } ]`, `vips[0][0].interface: is empty; expected an interface's name`},
		{`[ { interface: "eth0:1", ip: 10.8.3.1 } ]`, `vips[0][0].interface: "eth0:1" is not an interface's name; an address needs no alias, write eth0`},
		{`[ { interface: eth0, ip: 10.8.3.1, state: preplumbed } ]`, `vips[0][0].state: "preplumbed" is refused: an address that stays on every host has as many owners as hosts; remove state and let vippy add and remove the address`},
		{`[ node4, { interface: eth0, ip: 10.8.3.1 } ]`, `vips[0][0]: "node4" is not one of nodes; did you mean "node1"?`},
		{`[ node1, node1, { interface: eth0, ip: 10.8.3.1 } ]`, `vips[0][1]: "node1" is preferred twice`},
		{`[ { interface: eth0, ip: 10.8.3.1 }, node1 ]`, `vips[0][1]: "node1" stands behind an address; preferred nodes come first`},
		{`[ node1 ]`, `vips[0]: a group without addresses; give it { interface, ip }, or write an election as { name: NAME }`},
		{`[]`, `vips[0]: a group without addresses; give it { interface, ip }, or write an election as { name: NAME }`},
		{`{}`, `vips[0]: an election (no addresses, or plumb: false) needs a name: its key is made of it`},
		{`{ plumb: false, addresses: [ { interface: eth0, ip: 10.8.3.1 } ] }`, `vips[0]: an election (no addresses, or plumb: false) needs a name: its key is made of it`},
		{`{ nmae: x }`, `vips[0]: unknown key "nmae"; did you mean "name"?`},
		{`{ name: x, checks: [web] }`, `vips[0].checks[0]: "web" is not one of checks: there are none`},
		{`{ name: x, preempt: 1 }`, `vips[0].preempt: expected true or false, found 1`},
		{`10.8.3.1/24`, `vips[0]: expected a group such as [ { interface: eth0, ip: 10.8.3.195/24 } ], found "10.8.3.1/24"`},
		{`[ 10.8.3.1/24 ]`, `vips[0][0]: "10.8.3.1/24" is an address, and needs its interface: { interface: eth0, ip: 10.8.3.1/24 }`},
		{`{ interface: eth0, ip: 10.8.3.1/24 }`, `vips[0]: expected a group, found one address: put it in brackets, [ { interface: eth0, ip: 10.8.3.195/24 } ], or behind addresses`},
		{`[ 10 ]`, `vips[0][0]: expected an object with interface, ip, state, found 10`},
		{`{ name: x }, { name: x }`, `vips[1]: the name "x" is used twice (first at 3:9)`},
		{`[ { interface: eth0, ip: 10.8.3.1/24 } ], [ { interface: eth0, ip: 10.8.3.1 } ]`, `vips[1][0].ip: 10.8.3.1 is given twice (first at 3:30)`},
	} {
		_, err := Parse("f", []byte("secret: a secret text of length\nnodes: [node1, node2]\nvips: [ "+c.group+" ]\n"))
		if err == nil {
			t.Errorf("%s: no fault found", c.group)
			continue
		}
		_, got, _ := strings.Cut(err.Error(), ": ")
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.group, got, c.want)
		}
	}
}

// TestFaultNodes: what is wrong with nodes is said once, and not again wherever one is named.
func TestFaultNodes(t *testing.T) {
	for nodes, want := range map[string]string{
		"node1":         `nodes: expected a list of node names, found "node1": put it in brackets [ ], or behind a dash`,
		"{ node1: 1 }":  `nodes: expected a list of node names, found an object: put it in brackets [ ], or behind a dash`,
		"[node1 node2]": `nodes[0]: "node1 node2" holds a space`,
		"":              `nodes: expected a list of node names, found nothing`,
		"[]":            `nodes: is empty: list the names of all nodes`,
	} {
		_, err := Parse("f", []byte("secret: a secret text of length\nnodes: "+nodes+"\nvips: [ [ node1, { interface: eth0, ip: 10.8.3.195/24 } ] ]\n"))
		if err == nil {
			t.Errorf("%s: no fault found", nodes)
		} else if _, got, _ := strings.Cut(err.Error(), ": "); got != want {
			t.Errorf("%s\n got %s\nwant %s", nodes, got, want)
		}
	}
}

// TestSecretStaysHidden: however a secret is mistyped, no fault shows it.
func TestSecretStaysHidden(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, text := range []string{
		secret, "secret " + secret, "secret:" + secret, `{secret:` + secret + `}`, "secret:" + secret + "\nnodes: [a]",
		"secret: [" + secret + "]", "secret: {" + secret + ": x}", "secret: *" + secret, "secret: !" + secret,
		"secret: &" + secret, "secret: '" + secret, `secret: "` + secret, "secret: " + secret + "\nsecret: " + secret,
		"secret: " + secret + "\x00", "secrets: " + secret, "secret_file: " + secret, "secret_file: [" + secret + "]", "secrets: [[" + secret + "]]", "secret: |\n " + secret + "\n\tx",
		"secret: " + secret + ": x", "secret: @" + secret, "secret: %" + secret, "%" + secret + "\n---\n", "secret: - " + secret,
		"secret: >" + secret, "secret: |" + secret, "secret: |2" + secret, `secret: "\` + secret,
		"{secret " + secret + ", nodes: [a]}", "{secret = " + secret + ", nodes: [a]}", "{secret=" + secret + "}", `{"secret", "` + secret + `", nodes: [a]}`,
		"{secret\t" + secret + "}", "{secret, 12" + secret + "}", "{" + secret + ", " + secret + "}", "{secret " + secret + "\n nodes: [a]}",
		"secret " + secret + ": x\nnodes: [a]", "secret\t" + secret + ": x", "cluster: a secret " + secret, "{cluster: a\n secret: " + secret + "}",
		"{nodes: a\n secret: " + secret + "}", "{cluster: a\n secrets [" + secret + "]}",
	} {
		_, err := Parse("f", []byte(text))
		if err == nil {
			t.Errorf("%q: no fault found", text)
		} else if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestManyFaults: the list is cut where nobody reads on.
func TestManyFaults(t *testing.T) {
	_, err := Parse("f", []byte("vips: ["+strings.Repeat("1,", 1000)+"]"))
	fs := AsFaults(err)
	if len(fs) != maxFaults+1 || fs[maxFaults].Text != "and 902 more" {
		t.Errorf("%d faults, the last %v", len(fs), fs[len(fs)-1])
	}
}

// TestHugeFile: of a file that is too large nobody is told how large it would be, for it isn't read.
func TestHugeFile(t *testing.T) {
	path := write(t, t.TempDir(), "f", strings.Repeat("a", 3*MaxSize), 0o600)
	_, err := Load(path, "node1")
	if want := path + ": has more than 1048576 bytes, which no config needs: is it the right file?"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"interval", "stale", "nodes", "arp-cache", "ip"}
	for word, want := range map[string]string{
		"intervl": "interval", "Interval": "interval", "stael": "stale", "node": "nodes", "arp_cache": "arp-cache",
		"pi": "ip", "banana": "", "": "", "x": "", strings.Repeat("interval", 20): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// manyNames lists so many names for a list in YAML.
func manyNames(count int) string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("w%d", i)
	}
	return strings.Join(names, ", ")
}
