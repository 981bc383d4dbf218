package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/vipgroup"
)

func newCheck(std stdio) *cobra.Command {
	var file, node, socket string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a config, and say what this node would do with it",
		Long: `Check a config, and say what this node would do with it. Nothing is touched.

With --against, it also asks a running daemon what the config would change in its cluster:
in what the plans differ, and which groups would move where.

Exit status: 0 the config is right; 1 it is not, and every fault is printed, or it would not
come into force; 2 can't tell.`,
		Example: `  vippyd check -c new.conf
  vippyd check -c new.conf --against /var/run/vippy.socket`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := runCheck(std.out, file, node)
			if err != nil || socket == "" {
				return err
			}
			return against(cmd.Context(), std.out, c, socket)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", config.DefaultPath, "config `FILE`")
	c.Flags().StringVarP(&node, "node", "n", "", "this node's `NAME` in the config (default as for vippyd)")
	c.Flags().StringVar(&socket, "against", "", "the management `SOCKET` of a running daemon")
	return c
}

func runCheck(out io.Writer, file, node string) (*config.Config, error) {
	c, node, err := load(file, node)
	if err != nil {
		if config.AsFaults(err) != nil {
			return nil, exit{exitNo, err}
		}
		return nil, exit{exitCantTell, err}
	}
	fmt.Fprintf(out, "ok: %s is plan %d with %s\n", file, c.Plan.Version, c.Plan.Size())
	part(out, c.Plan, node)
	for _, notice := range append(c.Notices, advice(c, node)...) {
		fmt.Fprintln(out, "notice: "+notice)
	}
	return c, nil
}

// part says what the node would have if all nodes were up and nobody had anything yet.
func part(out io.Writer, p vipgroup.Plan, node string) {
	self := p.Node(node)
	if self < 0 {
		return // config notes that it only listens
	}
	view := vipgroup.View{Eligible: make([]bool, len(p.Nodes)), Holder: make([]int, len(p.Groups)), Penalty: make([][]int, len(p.Nodes))}
	for i := range view.Eligible {
		view.Eligible[i] = true
	}
	for i := range view.Holder {
		view.Holder[i] = -1
	}
	var mine []string
	for i, d := range vipgroup.Assign(p, view) {
		if d.Owner != self {
			continue
		}
		var vips []string
		for _, v := range p.Groups[i].VIPs {
			vips = append(vips, v.String())
		}
		line := "  " + p.Groups[i].Name
		if len(vips) > 0 {
			line += ": " + strings.Join(vips, ", ")
		}
		mine = append(mine, fmt.Sprintf("%s (%s)", line, d.Reason))
	}
	fmt.Fprintf(out, "%s would have %d of %s, with all nodes up\n", node, len(mine), vipgroup.Count(len(p.Groups), "group"))
	for _, line := range mine {
		fmt.Fprintln(out, line)
	}
}

// advice is what is no fault, but worth a thought on this host.
func advice(c *config.Config, node string) (out []string) {
	told, links := map[string]bool{}, map[string]net.Interface{}
	all, _ := net.Interfaces() // what can't be asked for is not there
	for _, link := range all {
		links[link.Name] = link
	}
	fixed := fixedAddresses()
	for _, g := range c.Plan.Groups {
		for _, v := range g.VIPs {
			if v.Interface == "" || c.Plan.Node(node) < 0 {
				continue
			}
			if addr := v.Address.Addr(); fixed[addr] && !g.Election {
				out = append(out, fmt.Sprintf("%v is configured on this host already: take it out of the host's network configuration, for vippyd removes it, "+
					"or out of vips where it is the host's own", addr))
			}
			link, exists := links[v.Interface]
			switch {
			case told[v.Interface]:
			case !exists:
				told[v.Interface] = true
				out = append(out, fmt.Sprintf("there is no interface %s on this host: %s can't take the groups on it", v.Interface, node))
			case link.Flags&net.FlagLoopback != 0 && !g.Election:
				told[v.Interface] = true
				out = append(out, fmt.Sprintf("the interface %s speaks no ARP: %s can't take the groups on it; name the one that clients reach", v.Interface, node))
			}
		}
	}
	for _, name := range c.ChatInterfaces {
		if _, err := netip.ParseAddr(name); err == nil {
			continue
		}
		if _, exists := links[name]; !exists {
			out = append(out, fmt.Sprintf("chat_interface: there is no interface %s on this host: nothing is said or heard there", name))
		}
	}
	for _, a := range c.Witness {
		if fixed[a] {
			out = append(out, fmt.Sprintf("witness: %v is this host's own address, which says nothing: name another one on the link", a))
		}
	}
	out = append(out, notRun(c)...)
	if len(c.Plan.Members()) == 2 && len(c.Witness) == 0 && !hasGateway("/proc/net/route") {
		out = append(out, "two nodes without a default gateway can't tell a dead peer from a dead link of their own: "+
			"name another address on the link as witness")
	}
	return out
}

// fixedAddresses are the addresses that this host has for good. What vippyd adds has a
// lifetime, and is none of them. What can't be asked for is not there.
func fixedAddresses() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	answer, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return out
	}
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return out
	}
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg || m.Data[2]&syscall.IFA_F_PERMANENT == 0 {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		// Of IPv4, IFA_ADDRESS is the other end of a point-to-point link.
		kind := uint16(syscall.IFA_ADDRESS)
		if m.Data[0] == syscall.AF_INET {
			kind = syscall.IFA_LOCAL
		}
		for _, a := range attributes {
			if addr, ok := netip.AddrFromSlice(a.Value); ok && a.Attr.Type == kind {
				out[addr] = true
			}
		}
	}
	return out
}

// hasGateway looks for a default route in the kernel's IPv4 table (proc(5)). What can't
// be read has none.
func hasGateway(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// Interface, destination, gateway, ... with addresses in hexadecimal.
		fields := strings.Fields(lines.Text())
		if len(fields) > 2 && fields[1] == "00000000" && fields[2] != "00000000" {
			return true
		}
	}
	return false
}
