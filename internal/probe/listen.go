package probe

import (
	"context"
	"fmt"
	"net"
	"time"
)

// listenTries bounds how many ports Listen looks at.
const listenTries = 10

// Listen takes a port of 127.0.0.1 that connections from this machine really
// come to. A container engine that did not end in order may have left a
// forwarding rule behind: the port is free, and what connects to it ends at a
// container that is gone.
func Listen(ctx context.Context) (net.Listener, error) {
	var trouble error
	for range listenTries {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		if trouble = reaches(ctx, l.(*net.TCPListener)); trouble == nil {
			return l, nil
		}
		_ = l.Close()
	}
	return nil, trouble
}

// reaches connects to l and says whether l is what answers.
func reaches(ctx context.Context, l *net.TCPListener) error {
	const patience = time.Second
	out, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	in, err := l.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if in.RemoteAddr().String() != out.LocalAddr().String() {
		return fmt.Errorf("%s: another connection came first", l.Addr())
	}
	return l.SetDeadline(time.Time{})
}
