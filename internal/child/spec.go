package child

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// A Spec says what to run, and as whom.
type Spec struct {
	// Command is the program and its arguments; no shell is involved. A program without
	// a slash is looked up in the daemon's PATH.
	Command []string
	// Env is added to PATH and LANG=C, which is all that the program gets of the
	// daemon's environment.
	Env []string
	// User is who the program runs as, by name or number; "" means nobody where the
	// daemon is root, else the daemon's own user. Another user needs a daemon that is
	// root, or has CAP_SETUID, CAP_SETGID and CAP_KILL.
	User string
	// Stdin, Stdout and Stderr are the program's files; nil means /dev/null. They stay
	// the caller's to close.
	Stdin, Stdout, Stderr *os.File
}

// Check says why the program could not be started as things are.
func (s Spec) Check() error {
	_, err := s.command()
	return err
}

// notFound says why there is no program of a name, and what would make it one.
func notFound(name string, err error) error {
	var stat *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no program %s", name)
	case errors.Is(err, fs.ErrPermission) && !errors.As(err, &stat):
		return fmt.Errorf("%s is not executable (chmod +x)", name)
	}
	return err // "exec: "foo": executable file not found in $PATH"
}

// command checks the program and makes what starts it.
func (s Spec) command() (*exec.Cmd, error) {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return nil, errors.New("no program is named")
	}
	path, err := exec.LookPath(s.Command[0])
	if err != nil {
		return nil, notFound(s.Command[0], err)
	}
	if err := Trusted(path); err != nil {
		return nil, err
	}
	who, err := lookup(s.User)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, s.Command[1:]...)
	cmd.Args[0] = s.Command[0]
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C"}, s.Env...)
	// An *os.File is handed over as it is. Anything else, a typed nil too, would make
	// exec copy in goroutines that wait for whoever keeps the file open.
	if s.Stdin != nil {
		cmd.Stdin = io.Reader(s.Stdin)
	}
	if s.Stdout != nil {
		cmd.Stdout = io.Writer(s.Stdout)
	}
	if s.Stderr != nil {
		cmd.Stderr = io.Writer(s.Stderr)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: who}
	return cmd, nil
}

// explain says what the kernel's word means for a program that was there when it was looked
// for, and names the user where it can't be started for want of permission.
func (s Spec) explain(err error, who *syscall.Credential) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w (there is no such interpreter as its first line names; a line that ends in CR LF names another than it seems)", err)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w (it is neither a program for this machine nor a script that begins with #! and its interpreter)", err)
	}
	if who != nil && errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w (for the user %s that it is to run as: let it read and execute the file and its folders, or name another user)", err, s.userName())
	}
	if who != nil && errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w (to become the user %s needs root, or CAP_SETUID and CAP_SETGID)", err, s.userName())
	}
	return err
}
