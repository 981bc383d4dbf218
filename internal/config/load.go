package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Load reads the file at path and the secret file that it names, and refuses either when
// other users could read a secret or change what root runs. node is this host's name: one
// that the plan does not list is a notice, not a fault, since such a node only listens.
// The error is Faults where a file is at fault, else it wraps what the system said.
func Load(path, node string) (*Config, error) {
	data, info, err := readFile(path, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("config: %w (%s)", err, unreadable(err))
	}
	w, err := parse(path, data)
	if fault := unsafe(path, info, len(w.cfg.Secrets) > 0); fault != "" {
		return nil, append(Faults{{File: path, Text: fault}}, AsFaults(err)...)
	}
	if err != nil {
		return nil, err
	}
	if w.cfg.SecretFile != "" {
		if err := w.loadSecretFile(data); err != nil {
			return nil, err
		}
	}
	switch plan := w.cfg.Plan; {
	case plan.Node(node) >= 0:
	case plan.Member(node) >= 0:
		w.notice("%s is one of voters and not of nodes: this vippyd votes and holds nothing", quote(node))
	default:
		w.notice("%s is not one of nodes (%s): this node only listens; -n NAME gives it another name",
			quote(node), strings.Join(plan.Nodes, ", "))
	}
	return w.cfg, nil
}

// unreadable says what to do about a config that can't be read.
func unreadable(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "it is its owner's alone, since the secret is in it: ask as root, or as the daemon's user"
	}
	return "-c FILE names another; the default is " + DefaultPath
}

// loadSecretFile reads the secret of `secret_file`: the one line in it.
func (w *walker) loadSecretFile(config []byte) error {
	path := w.cfg.SecretFile
	data, info, err := readFile(path, MaxSecret+2)
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch fault := ""; {
	case err != nil:
		w.fault(w.secretFile, "%v", err)
	case len(text) > MaxSecret:
		w.fault(w.secretFile, "%s: a secret has at most %d bytes", path, MaxSecret)
	case text == "":
		w.fault(w.secretFile, "%s is empty: it holds the secret on one line", path)
	case strings.ContainsAny(text, "\r\n\x00"):
		w.fault(w.secretFile, "%s holds more than one line: it holds the secret on one line", path)
	default:
		if fault = unsafe(path, info, true); fault != "" {
			w.fault(w.secretFile, "%s: %s", path, fault)
			break
		}
		w.addSecret("secret_file", text)
		w.cfg.Hash = sha256.Sum256(append(slices.Clip(config), data...))
		return nil
	}
	return w.sorted()
}

// readFile reads at most limit bytes (and one, so that its caller sees that there are
// more) of a regular file. It says what is at path, a symbolic link's target included,
// as opened: nobody can swap it between the look and the read.
func readFile(path string, limit int64) ([]byte, os.FileInfo, error) {
	// Non-blocking, so that a FIFO in the file's place cannot hang the daemon.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	return data, info, err
}

// unsafe says what is wrong with a file's owner and mode, and what to type, or "".
func unsafe(path string, info os.FileInfo, holdsSecret bool) string {
	mode := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Sprintf("belongs to user %d, who could change it: chown root %s", st.Uid, shellWord(path))
	}
	switch {
	case holdsSecret && mode&0o077 != 0:
		return fmt.Sprintf("holds the secret, and its mode %04o opens it to others: chmod 600 %s", mode, shellWord(path))
	case mode&0o022 != 0:
		return fmt.Sprintf("its mode %04o lets others change it: chmod go-w %s", mode, shellWord(path))
	}
	return ""
}

// shellWord writes path so that it can be typed after a command.
func shellWord(path string) string {
	if strings.Trim(path, "/.-_=+,:@abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" && !strings.HasPrefix(path, "-") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
