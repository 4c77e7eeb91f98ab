package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"berth/internal/fault"
	"berth/internal/probe"
)

// listen takes every address, before anything else is touched: a second start
// by mistake changes nothing.
func (s *Server) listen(ctx context.Context) (err error) {
	if s.public, err = listenTCP(ctx, "BERTH_LISTEN", s.settings.Listen); err != nil {
		return err
	}
	s.onClose(closing(s.public))
	if s.settings.MetricsListen != "" {
		if s.metrics, err = listenTCP(ctx, "BERTH_METRICS_LISTEN", s.settings.MetricsListen); err != nil {
			return err
		}
		s.onClose(closing(s.metrics))
	}
	if s.internal, err = probe.Listen(ctx); err != nil {
		return fmt.Errorf("listen for the engine: %w", err)
	}
	s.onClose(closing(s.internal))
	if s.local, err = listenUnix(ctx, s.settings.SocketPath()); err != nil {
		return err
	}
	s.onClose(closing(s.local))
	return nil
}

// closing closes a listener that its server may have closed already.
func closing(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func listenTCP(ctx context.Context, variable, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fault.Conflict("%s is taken by %s: stop that, or set %s to another address", address, holderOf(address), variable).Because(err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.Forbidden("%s needs a right that this user does not have: take a port from 1024 up with %s, or `setcap cap_net_bind_service=+ep` this program",
			address, variable).Because(err)
	}
	return nil, fault.Invalid("%s: can not listen on %s: %v", variable, address, err).Because(err)
}

// listenUnix takes the socket of the local command line. The data folder's
// lock is held, so whatever lies there is left from a process that has ended.
// It is made with mode 0600 from the start: whoever can open it is
// administrator.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	// The kernel's sockaddr_un has 108 bytes, with the zero at the end.
	if len(path) > 107 {
		return nil, fault.Invalid("the path %s is too long for a socket (%d bytes, 107 at most): set BERTH_DATA_DIR to a shorter one", path, len(path))
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at the local socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fault.Conflict("%s is in the way: it is not a socket; move it away", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the socket left from an earlier run: %w", err)
		}
	}
	before := unix.Umask(0o177)
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	unix.Umask(before)
	if err != nil {
		return nil, fmt.Errorf("listen on the local socket: %w", err)
	}
	return l, nil
}

// listensAt says that Berth itself listens at an address. A request that a
// fixed route led there would go round, or come in by a door of its own.
func (s *Server) listensAt(at netip.AddrPort) bool {
	for _, l := range []net.Listener{s.public, s.internal, s.metrics} {
		if l == nil {
			continue
		}
		own, err := netip.ParseAddrPort(l.Addr().String())
		if err == nil && own.Port() == at.Port() && (own.Addr().Unmap() == at.Addr().Unmap() || own.Addr().IsUnspecified() && ofThisMachine(at.Addr().Unmap())) {
			return true
		}
	}
	return false
}

// ofThisMachine says that an address is one of this machine's. When the
// machine can't be asked, every address may be.
func ofThisMachine(at netip.Addr) bool {
	if at.IsLoopback() || at.IsUnspecified() {
		return true
	}
	list, err := net.InterfaceAddrs()
	for _, one := range list {
		if n, ok := one.(*net.IPNet); ok && n.IP.Equal(at.AsSlice()) {
			return true
		}
	}
	return err != nil
}

// baseHosts are the names that Berth itself answers to. On loopback every
// name of this machine is.
func (s *Server) baseHosts() []string {
	hosts := []string{s.settings.BaseURL.Hostname()}
	if s.settings.OnLoopback() {
		hosts = append(hosts, "localhost", "127.0.0.1", "::1", "[::1]")
	}
	return hosts
}

func (s *Server) isBase(host string) bool { return slices.Contains(s.baseHosts(), host) }

func (s *Server) metricsMux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.api.MetricsHandler())
	return mux
}

// Of the files that a process may have open, these are not for clients: the
// database, blobs, the engine, and what else Berth asks.
const filesOfOurs = 512

// maxConnections is what the settings say, or what the process may open files
// for, where that is less: a client's request takes a connection to the app too.
func (s *Server) maxConnections() int {
	most := s.settings.MaxConnections
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return most
	}
	room := max((files.Cur-min(files.Cur, filesOfOurs))/2, 16)
	if uint64(most) <= room { //nolint:gosec // not under 16
		return most
	}
	s.log.Warn("this process may open too few files for BERTH_MAX_CONNECTIONS: raise its limit (LimitNOFILE of the unit, or ulimit -n)",
		"files", files.Cur, "wanted", most, "connections", room)
	return int(room) //nolint:gosec // less than most
}
