package lab

import "errors"

// Two kinds of deafness are told apart. Of a node whose receive side is dead nothing comes
// in, neither chat nor ARP nor the client: it must let go, as a lost host does ("deaf").
// A node that misses only the others' chat, or only the other nodes, still serves and
// must keep what it has ("mute", "firewall", "one-way-in").

// oneWayIn cuts the link from all other nodes to this one: it doesn't hear them, neither
// chat nor ARP. They hear it, and the client reaches everybody.
func (c *cluster) oneWayIn(n *node) error {
	n.cut = true
	var rules []rule
	for _, other := range c.others(n) {
		rules = append(rules, rule{toLink(n.plug.Attrs().Name), fromHost(other.mac)})
	}
	return c.drop(c.wire.space, rules)
}

// oneWayOut cuts the link from this node to all others: they don't hear it, and it hears
// them.
func (c *cluster) oneWayOut(n *node) error {
	n.cut = true
	var rules []rule
	for _, other := range c.others(n) {
		rules = append(rules, rule{toLink(other.plug.Attrs().Name), fromHost(n.mac)})
	}
	return c.drop(c.wire.space, rules)
}

// mute keeps a node's chat from getting out, as a switch does that filters it. ARP and the
// service go on.
func (c *cluster) mute(n *node) error {
	n.cut = true
	return c.drop(c.wire.space, []rule{{fromLink(n.plug.Attrs().Name), toPort(chatPort)}})
}

// firewall drops chat in both directions on the host, as its packet filter might: what it
// sends is refused with EPERM.
func (c *cluster) firewall(n *node) error {
	n.cut = true
	return c.drop(n.space, []rule{{hostInput, toPort(chatPort)}, {hostOutput, toPort(chatPort)}})
}

// firewallIn drops what the others chat on its way into the host, as a packet filter does to
// which nobody has added the port: the node speaks, and hears by ARP alone.
func (c *cluster) firewallIn(n *node) error {
	n.cut = true
	return c.drop(n.space, []rule{{hostInput, toPort(chatPort)}})
}

// dropMulticast makes the switch one that carries no IPv4 multicast at all.
func (w *wire) dropMulticast() (*filter, error) {
	var rules []rule
	for _, p := range w.ports {
		rules = append(rules, rule{fromLink(p.plug.Attrs().Name), toMulticast})
	}
	return drop(w.space, rules)
}

// drop starts a filter that lasts until heal.
func (c *cluster) drop(s *space, rules []rule) error {
	f, err := drop(s, rules)
	if err != nil {
		return err
	}
	c.undo = append(c.undo, f)
	return nil
}

// heal undoes every cut, split, filter and memory; cables that were pulled stay so.
func (c *cluster) heal() error {
	var errs []error
	for _, f := range c.undo {
		errs = append(errs, f.close())
	}
	c.undo = nil
	for _, n := range c.nodes {
		n.cut = false
		errs = append(errs, n.isolate(false), n.both(true))
	}
	return errors.Join(errs...)
}

// others lists the nodes but one.
func (c *cluster) others(n *node) []*node {
	var out []*node
	for _, other := range c.nodes {
		if other != n {
			out = append(out, other)
		}
	}
	return out
}
