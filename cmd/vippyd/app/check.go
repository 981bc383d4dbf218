package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

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

Exit status: 0 the config is right; 1 it is not, and every fault is printed, or its plan would
not come into force; 2 can't tell.`,
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
	fmt.Fprintf(out, "ok: %s is plan %d with %d nodes and %d groups\n", file, c.Plan.Version, len(c.Plan.Nodes), len(c.Plan.Groups))
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
	fmt.Fprintf(out, "%s would have %d of %d groups, with all nodes up\n", node, len(mine), len(p.Groups))
	for _, line := range mine {
		fmt.Fprintln(out, line)
	}
}

// advice is what is no fault, but worth a thought on this host.
func advice(c *config.Config, node string) (out []string) {
	missing := map[string]bool{}
	for _, g := range c.Plan.Groups {
		for _, v := range g.VIPs {
			if v.Interface == "" || missing[v.Interface] || c.Plan.Node(node) < 0 {
				continue
			}
			if _, err := net.InterfaceByName(v.Interface); err != nil {
				missing[v.Interface] = true
				out = append(out, fmt.Sprintf("there is no interface %s on this host: %s can't take the groups on it", v.Interface, node))
			}
		}
	}
	out = append(out, notRun(c)...)
	if len(c.Plan.Nodes) == 2 && len(c.Witness) == 0 && !hasGateway("/proc/net/route") {
		out = append(out, "two nodes without a default gateway can't tell a dead peer from a dead link of their own: "+
			"name another address on the link as witness")
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
