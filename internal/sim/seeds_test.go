//go:build !race

// The race detector would take minutes for what is a single thread; `make sim` runs them.

package sim

import (
	"fmt"
	"testing"
)

// A keptSeed is run every time: it once found what its line says, in the core or in the
// checker. A seed means something else as the core changes, so the story behind the
// important ones is also told by a script in testdata.
type keptSeed struct {
	seed uint64
	mode Mode
	why  string
}

// replay runs each seed in the world that is drawn for it, as change leaves that: without
// what was not yet in the worlds when the seed found something.
func replay(t *testing.T, seeds []keptSeed, change func(*Config, Mode)) {
	t.Helper()
	for _, s := range seeds {
		c := DrawFor(s.seed, s.mode)
		change(&c, s.mode)
		c.Again = fmt.Sprintf("-run '^%s$'", t.Name())
		if _, v := Play(c, s.mode); v != nil {
			t.Errorf("mode %s\n%v\nkept because: %s", s.mode, v, s.why)
		}
	}
}

// fixedSeeds are those of a world with multicast, whose programs are never replaced and
// whose operators do nothing.
var fixedSeeds = []keptSeed{
	{1159, Torture, "a claim in a plan that the objector didn't know got no objection"},
	{1034, Torture, "a holder didn't let go to a holder whose plan it couldn't fetch"},
	{5294, Torture, "a process started on a host that receives nothing took everything"},
	{5554, Torture, "one-way link and no chat: two owners for as long as it lasts"},
	{69, Torture, "without chat and with two plans, each holder ranked itself first"},
	{41309, Torture, "the announcement in turn was thrown away"},
	{70379, Double, "two claimants blocked each other through a one-way cut for ever"},
	{70135, Single, "a stranger that spoke once made a survivor think it was deaf"},
	{80189, Single, "the same, when the other host was lost"},
	{80058, Single, "an answer that came too soon after another was dropped, not delayed"},
	{1019, Torture, "a group granted and dropped before it was plumbed was held for ever"},
	{20088, Links, "four packets lost in a row after a heal"},
	{112, Torture, "a holder that nobody hears couldn't fetch the plan of a claimant"},
	{41349, Torture, "simultaneous claims without chat"},
	{90051, Thirds, "a third that was away for longer than its word stands"},
	{90001, Plans, "two plans, nodes that come and go"},
	{304189970628, Torture, "a third that hung long before it was killed is no way round a cut"},
	{304189970838, Plans, "who held a part of a group released the whole, and the rest was still held"},
	{304189971759, Thirds, "a third that had just died lost its say before it was absent"},
	{305035103037, Single, "an attacker hands on late what a cut link lost"},
	{305414845844, Torture, "half of a joined group was handed to who could only take the whole, again and again"},
	{305414846748, Torture, "the announcements that end an overlap without chat are lost, too"},
	{305579635588, Torture, "a claim on a joined group stood for ever and kept the free half from everybody"},
	{305579638556, Torture, "two holders of the halves of a joined group were taken for two owners"},
	{305579640972, Torture, "the same, in a group of four"},
	{306218421565, Double, "a rival's pause was shorter than a claim must stand"},
	{306218425053, Double, "who had another secret until now could not be talked to either"},
	{309077904017, Single, "a stranger that had just become talkative and paused made a survivor think it was deaf"},
	{309200000117, Double, "a farewell was taken for the release of what a node with another secret had just announced"},
	{310776151090, Chat, "a release that had waited in a socket for a second was taken for a fresh one"},
	{15, Pests, "a host that stood still came back to its twin, and neither let go"},
	{30, Pests, "two nodes that both knew a twin of the other never believed each other again"},
	{1024, Pests, "a node that became deaf was given up for its twin, and its claim not seen"},
	{1036, Pests, "a node that nobody hears didn't let go to its twin"},
	{1063, Pests, "a twin was handed what the first one has behind a cut"},
	{20062, Pests, "a twin that nobody hears"},
	{20079, Pests, "a starved holder never had the time to find that the other can't hear it"},
	{20086, Pests, "a deaf node can't tell its twin that it lives; the others do"},
	{20103, Pests, "a twin of each of two nodes that were cut apart"},
	{312767229313, Calm, "an upgraded node took its own pause for the silence of a peer, and believed its twin"},
	{314884100015, Single, "two lost packets, and a twin was believed"},
	{900193, Majority, "a vote that was taken back while its process hung was told after that"},
	{7, Chat, "chat and processes"},
	{5, Calm, "nothing moves"},
}

func TestFixedSeeds(t *testing.T) {
	// What they found needs no guard; a world with guards goes another way.
	for _, noGuard := range []bool{true, false} {
		replay(t, fixedSeeds, func(c *Config, m Mode) {
			c.NoGuard, c.Upgrades, c.Pests, c.Share, c.Unicast, c.Drop = noGuard, false, m == Pests, false, false, false
			c.Orders, c.Balance, c.Rolling = false, false, false
		})
	}
}

// unicastSeeds are those where the nodes talk by unicast only.
var unicastSeeds = []keptSeed{
	{500334, Pests, "a twin that is in no list of peers never heard that others have what it has"},
	{500928, Pests, "the same, after the first one was suspended"},
	{12, Majority, "the checker forgot that a process was yet to be started after a cut"},
}

func TestUnicastSeeds(t *testing.T) {
	replay(t, unicastSeeds, func(c *Config, _ Mode) {
		c.Unicast, c.Share, c.Drop, c.Rolling = true, false, false, false
	})
}

// rollingSeeds are those where operators change plan, timings and secret.
var rollingSeeds = []keptSeed{
	{1005, Links, "a node took what it was cut off from, as those between didn't have it in their plan and so didn't object"},
	{1017, Links, "the same, with loss and without guards"},
	{2027, Links, "the checker took a host that isn't in the plan for a way round a cut"},
	{1019, Links, "two plans of one version that put an address together with others, each otherwise"},
	{1007, Plans, "the same"},
	{1920021, Torture, "simultaneous claims without chat by two plans: each holder ranked itself first"},
	{800034, Links, "the checker took a node that is in nobody's plan but its own past for a way round a cut"},
	{800060, Links, "two plans in a row, and the shell didn't tell what the kernel has of the second one's groups"},
}

func TestRollingSeeds(t *testing.T) {
	replay(t, rollingSeeds, func(c *Config, _ Mode) {
		c.Rolling, c.Drop, c.Orders = true, false, false
	})
}

// drawnSeeds are those of the very world that is drawn, with all that operators do in it.
var drawnSeeds = []keptSeed{
	{326965180666, Links, "two halves of what a node with another plan claims were given up in turn, by two that each waited for the other"},
	{326965179725, Majority, "a suspended host whose processes were frozen as well goes on when these do"},
	{329832494192, Links, "two nodes whose plans lack each other took what a third lost, and neither heard the other's claim"},
	{335505144736, Links, "a link that is cut one way keeps two nodes whose plans lack each other from agreeing for as long as it lasts"},
	{338059519135, Majority, "an objection for the sake of a holder that neither hears any more was void to a process that never heard it"},
	{338022413246, Single, "a node whose own plan lacks it says nothing, so that others ask before they take"},
	{340513550342, Memory, "without chat, and with a fifth of all frames lost, a holder was unheard for long enough"},
	{341014929197, Majority, "of a suspended host that goes on while its daemon hangs, the guard removes what it had"},
	{345198232312, Pests, "the peer that believed one of two twins left, and the other took as well what it released"},
	{345640904095, Links, "a process that ended while it kept a plan was waited for without end"},
	{350414675448, Chat, "who had one of two addresses that a new plan joins said that both are free, and another had the second"},
	{350086178742, Links, "a guard released to a third what a host that nobody hears had taken as well"},
	{358139841019, Torture, "a process with another secret, which knows nobody's host, never let go of what it took behind a cut"},
	{363349052146, Links, "two plans, a link that was dead one way, and an owner that announced but once a second, as the other had taken its leave"},
	{361599241139, Torture, "recordings made a process that had never heard the original believe that an address was given up"},
	{361405394104, Thirds, "what a third had said came so late that it didn't stand until that one was restarted"},
	{360624629100, Pests, "a starved node was given its groups again and again, and could never take them"},
	{360016917033, Torture, "two plans of one version put two addresses together differently, and evening the load moved them for ever"},
	{359022284205, Chat, "a node whose own plan lacks it says nothing, and a recording of it reached processes that never heard it"},
	{357293580140, Chat, "a twin and another node took an address while nobody could chat, and nobody told the twin from the node"},
	{350050081429, Torture, "with a mistyped secret a node took what fell silent in the same moment as another, and neither let go"},
	{340906232186, Links, "a slow disk kept a plan by which something moves while the checker already wanted calm"},
	{337658453295, Memory, "what proves that a lost holder lived may be two intervals old"},
	{366686876192, Pests, "a node that starts every second, with another plan of the same version, was given a group of which it takes a part"},
	{366857651318, Torture, "the kernel of a host that stood still while its daemon was killed, with no guard, kept what others go by another plan for"},
	{367596532097, Links, "a process that started on a host that receives nothing was heard late, and its claim was overtaken by what it said next"},
	{367868222154, Torture, "one of two that had an address behind a cut, for want of a common plan, was drained to a third in the moment in which all chat came back"},
	{368280594143, Calm, "the pauses of a starved process and of its upgrade used up the grant together"},
	{368701342067, Links, "by two plans of one version a node took again and again, part by part, what another had to find silent as a whole"},
	{368933177193, Memory, "an attacker handed on one by one what a filter had kept from the others, and a lost host seemed to live"},
	{369246602113, Torture, "a full cut healed while multicast was dead, between two that both started behind it"},
	{406253270024, Majority, "a suspended host went on while only the kernel was left of the one that had taken what it has"},
	{407612271103, Torture, "an address had no owner, as two sides whose plans lack each other put it together with different ones"},
	{409676827375, Chat, "two took what a third lost in one instant while nobody could chat, and one of them had never heard the other"},
	{415385013013, Links, "a table of neighbours overtook a claim, and the holder, which alone could hear it, was upgraded"},
	{418078628113, Links, "a holder that the other can't hear was upgraded while that one claimed what it has"},
	{417686937104, Majority, "a suspended host whose daemon hung meanwhile went on, and was frozen soon after"},
	{416614662071, Links, "a recording of a farewell, which was fresh still, ended the next process for who nobody could prove to that it lived"},
	{416223653088, Single, "a slow disk kept a plan which puts together what others hold the parts of by the former one"},
	{416172010334, Links, "the third that two hear that can't hear each other took its leave, and was restarted at once"},
	{409624615358, Chat, "a process that was frozen between its decision to take and the system call took after it woke"},
	{405521850350, Single, "a process that woke up late heard of its kernel before it knew that it was late"},
	{401992197138, Torture, "who heard a host that another can't hear answer trusted that one's release of what it took beside it"},
	{402063601362, Double, "a starved node had no turn in the very interval in which it should have taken back what it prefers"},
	{397551326073, Calm, "a starved holder took its own pause for a dead wire while the only other node was upgraded"},
	{387134279117, Links, "of two that had an address behind a cut, for want of a common plan, one handed it to a third that had just started"},
	{387295098018, Torture, "an overlap behind a cut lasted as long as all chat was dead, as one of the two had started on a host that receives nothing"},
	{382955692340, Single, "a node whose state directory was lost was killed, and its slow disk kept the plan that joins what it had"},
	{379976686236, Torture, "what was excused until a link was mended was not excused any more as soon as one heard the other"},
	{375338692124, Calm, "a process that was starved again before its next turn had not told its guard that the kernel has its addresses for longer"},
	{373848706010, Pests, "a process that was stopped between a removal and the kernel's report of it never heard of that"},
	{373587879009, Torture, "a holder announced but once a second, as the other had taken its leave before its link was dead one way and all chat as well"},
}

func TestDrawnSeeds(t *testing.T) {
	replay(t, drawnSeeds, func(*Config, Mode) {})
}

// stirredSeeds are those of a drawn world in which operators change plan, timings and secret
// all the time (-sim.rolling).
var stirredSeeds = []keptSeed{
	{354269994058, Torture, "two plans of one version, no chat at all, and a host that received nothing: each holder ranked itself first"},
}

func TestStirredSeeds(t *testing.T) {
	replay(t, stirredSeeds, func(c *Config, _ Mode) { c.Rolling = true })
}

// TestSameTrace runs seeds twice: every event must be the same.
func TestSameTrace(t *testing.T) {
	for s := uint64(11); s < 16; s++ {
		a, _ := Play(Draw(s))
		b, _ := Play(Draw(s))
		if a.Hash() != b.Hash() || a.Story(-1) != b.Story(-1) {
			t.Errorf("seed %d gave two traces, %x and %x", s, a.Hash(), b.Hash())
		}
	}
}
