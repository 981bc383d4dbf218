package ctlsocket

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
)

// callerOf names the user who asks: as this host knows him, else by his number.
func callerOf(ctx context.Context) string {
	c, ok := ctx.Value(connKey{}).(*guardedConn)
	if !ok || c.peer.uid == unknownUser {
		return "somebody"
	}
	uid := strconv.FormatUint(uint64(c.peer.uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %s", uid)
}
