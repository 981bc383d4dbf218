// Package ctlsocket is how a person, a script or a dashboard talks to a running daemon:
// JSON over HTTP on a unix socket. It owns the JSON of status and commands, the server
// and the client.
//
// It is a leaf: it knows no other package of the project. What a status means is the
// business of the Daemon that hands it over; what to do about it, of the Client's user.
//
//	GET  /status          Status
//	GET  /peers           []Peer
//	GET  /groups/{group}  Explanation; group is a name, a key or an address; ?if_down=NODE foretells
//	GET  /plan            PlanReport
//	GET  /plugins         []Plugin
//	GET  /events          Event, one a line: ?after=NUMBER the later ones, ?follow=1 for as long as somebody reads
//	GET  /tenure/{group}  Tenure, one a line, for as long as somebody reads
//	GET  /metrics         the same status in the text format of Prometheus
//	POST /drain /undrain /move /rebalance /leave /reload /upgrade
//
// A change is answered {"ok": true, "message": ...} or refused with a 4xx or 5xx
// {"error": ..., "hint": ...}. Everything else is 404 {"error": "no such command"}.
//
// Whoever can open the socket may read. Changes are for root and the daemon's own user,
// as the kernel names them (SO_PEERCRED, unix(7)).
package ctlsocket
