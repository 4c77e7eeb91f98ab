package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkRoute(b *testing.B) {
	for _, routes := range []int{1, 1000} {
		b.Run(fmt.Sprintf("routes=%d", routes), func(b *testing.B) {
			table := NewTable(TableConfig{})
			for i := range routes {
				require.NoError(b, table.Switch(context.Background(), routeTo(fmt.Sprintf("app-%d.test", i), "d", "127.0.0.1:1")))
			}
			req, err := http.NewRequest(http.MethodGet, "http://x/some/path", nil)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				host, _ := normalHost("app-0.test:8080")
				path, _ := read(req.URL)
				if found, _ := table.current.Load().route(host, path); found == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}

// BenchmarkProxy sends requests over kept connections, through the gateway,
// to an app that does as little as possible.
func BenchmarkProxy(b *testing.B) {
	for _, method := range []string{"GET", "POST"} {
		b.Run(method, func(b *testing.B) {
			r := newRig(b)
			r.route(routeTo("app.test", "d", leanApp(b)))
			request := method + " / HTTP/1.1\r\nHost: app.test\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
			if method == "POST" {
				request = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello"
			}
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				c, err := net.Dial("tcp", r.address)
				if err != nil {
					b.Error(err)
					return
				}
				defer func() { _ = c.Close() }()
				in := bufio.NewReader(c)
				for p.Next() {
					_, _ = io.WriteString(c, request)
					if err := skipAnswer(in); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// leanApp answers 200 to every head it reads, by a body of 12 bytes.
func leanApp(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				in := bufio.NewReader(c)
				for {
					length := 0
					for {
						line, err := in.ReadSlice('\n')
						if err != nil {
							return
						}
						if string(line) == "Content-Length: 5\r\n" {
							length = 5
						}
						if len(line) == 2 {
							break
						}
					}
					_, _ = in.Discard(length)
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nServer: lean\r\nDate: Sun, 22 Nov 2026 05:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello there\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// skipAnswer reads one answer with a body of 12 bytes.
func skipAnswer(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			_, err := in.Discard(12)
			return err
		}
	}
}

// BenchmarkClients counts requests in and out, each processor's from a network
// of its own.
func BenchmarkClients(b *testing.B) {
	c := newClients(100_000, nil)
	var last atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		address := fmt.Sprintf("192.0.2.%d", last.Add(1))
		for pb.Next() {
			place, err := c.enter(address)
			if err != nil {
				b.Error(err)
				return
			}
			place.leave()
		}
	})
}
