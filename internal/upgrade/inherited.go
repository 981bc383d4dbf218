package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Handover is what the program before left in this process.
type Handover struct {
	State []byte
	Files []*os.File
}

// Inherited returns what this program was handed, nil when it was started anew. It is to
// be called once, before any child is started.
func Inherited() (*Handover, error) {
	text := os.Getenv(handoverEnv)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(handoverEnv); err != nil {
		return nil, err
	}
	var files []*os.File
	for number := range strings.SplitSeq(text, ",") {
		fd, err := strconv.Atoi(number)
		if err != nil || fd < 3 {
			return nil, fmt.Errorf("%s=%s: this is for vippyd itself: unset it", handoverEnv, text)
		}
		unix.CloseOnExec(fd)
		files = append(files, os.NewFile(uintptr(fd), "inherited file "+number))
	}
	memory := files[0]
	defer memory.Close()
	state, err := io.ReadAll(io.NewSectionReader(memory, 0, 1<<30))
	if err != nil {
		return nil, fmt.Errorf("read what the program before left: %w", err)
	}
	reap()
	return &Handover{state, files[1:]}, nil
}

// reap takes leave of the children of the program before: its checks were killed with the
// threads that started them, and nobody else would.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
