package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// insideEnv marks the process that already is in a user namespace of the lab.
const insideEnv = "VIPPY_LAB_INSIDE"

// mayNamespace says whether this process may make network namespaces; it tries.
func mayNamespace() error {
	s, err := newSpace("probe")
	if err != nil {
		return err
	}
	s.close()
	return nil
}

// inUserNamespace runs this program again as root of a new user namespace, with the same
// arguments, and returns its verdict. It gets a process namespace too, so that everything
// in it ends with it, and it is killed when this process is.
func inUserNamespace(ctx context.Context, o Options) (ok bool, err error) {
	// The parent's death is its thread's death (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Stdin, o.Stdout, o.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return false, refusal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		return false, ctx.Err()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return false, nil
	}
	return false, fmt.Errorf("the lab inside its user namespace: %w (it said why above)", err)
}

// refusal explains why the kernel may have refused, as far as its settings tell.
func refusal(err error) error {
	advice := []string{}
	if setting("kernel/unprivileged_userns_clone") == "0" {
		advice = append(advice, "sysctl -w kernel.unprivileged_userns_clone=1")
	}
	if setting("kernel/apparmor_restrict_unprivileged_userns") == "1" {
		advice = append(advice, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
	}
	if setting("user/max_user_namespaces") == "0" {
		advice = append(advice, "sysctl -w user.max_user_namespaces=1000")
	}
	if setting("user/max_net_namespaces") == "0" {
		advice = append(advice, "sysctl -w user.max_net_namespaces=1000")
	}
	advice = append(advice, "run it as root, in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN")
	return fmt.Errorf("%w to user %d: %w; what helps: %s", ErrRefused, os.Getuid(), err, strings.Join(advice, ", or: "))
}

// setting reads a sysctl; "" where the kernel hasn't got it.
func setting(name string) string {
	text, _ := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(text))
}
