package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The house that letting somebody in is measured in.
const (
	benchSessions = 100_000
	benchActive   = 1_000 // that come again and again
	benchRoutes   = 1_000
)

// BenchmarkEnter measures what it costs to be signed in: the same requests to
// the same app, as nobody on a public route and as one of 1,000 of 100,000
// people on one for those who have signed in, turn by turn over the same connection. It ends
// with the database closed, so that any read would fail.
func BenchmarkEnter(b *testing.B) {
	d := newDoor(b)
	lean := leanApp(b)
	for i := range benchRoutes {
		r := routeTo(fmt.Sprintf("app-%d.test", i), "d", lean)
		switch i % 3 {
		case 1:
			r.Access = identity.SignedIn()
		case 2:
			r.Access = identity.SignedIn()
			r.Access.Audience = "the app"
		}
		d.route(r)
	}
	tokens := manySessions(b, d, "app-1.test", "app-2.test")
	for host, list := range tokens {
		for _, token := range list {
			_, err := d.people.ByHostSession(b.Context(), host, secret.New(token))
			require.NoError(b, err)
		}
	}
	require.NoError(b, d.db.Close())

	c, err := net.Dial("tcp", d.address)
	require.NoError(b, err)
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	ask := func(host, path, cookie string) time.Duration {
		began := time.Now()
		_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nAccept: */*\r\nUser-Agent: bench\r\nCookie: theme=dark; "+cookie+"\r\n\r\n")
		line, err := in.Peek(12)
		if err != nil || string(line) != "HTTP/1.1 200" {
			b.Fatalf("%s %v", line, err)
		}
		if err := skipAnswer(in); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	for name, host := range map[string]string{"headers": "app-1.test", "headers-and-assertion": "app-2.test"} {
		b.Run(name, func(b *testing.B) {
			var public, signedIn []time.Duration
			for b.Loop() {
				n := len(public)
				path := fmt.Sprintf("/page/%d", n)
				public = append(public, ask("app-0.test", path, "berth=0123456789012345678901234567890123456789012"))
				signedIn = append(signedIn, ask(host, path, "berth="+tokens[host][n%benchActive]))
			}
			// The medians: what else the machine does is not to be measured.
			slices.Sort(public)
			slices.Sort(signedIn)
			p, s := public[len(public)/2], signedIn[len(signedIn)/2]
			b.ReportMetric(float64(p.Nanoseconds()), "public-ns")
			b.ReportMetric(float64(s.Nanoseconds()), "signed-in-ns")
			b.ReportMetric(100*(float64(s)/float64(p)-1), "%more")
		})
	}
}

// manySessions writes as many people as sessions, each with a token for one of
// two hosts.
func manySessions(b *testing.B, d *door, hosts ...string) map[string][]string {
	b.Helper()
	ctx := context.Background()
	tokens := map[string][]string{}
	digest := func(parts ...string) []byte {
		sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
		return sum[:]
	}
	require.NoError(b, d.db.Write(ctx, func(tx *sqlite.Tx) error {
		now := sqlite.Millis(time.Now())
		for i := range benchSessions {
			host := hosts[i%len(hosts)]
			id, token := fmt.Sprintf("p%d", i), fmt.Sprintf("%043d", i)
			tokens[host] = append(tokens[host], token)
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO people (id, username, display_name, email, role, created_at, updated_at, version)
				VALUES (?1, ?1, '', ?1 || '@example.com', 'member', 0, 0, 1)`, id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO sessions (id, token_hash, person_id, address, user_agent, created_at, last_seen_at, expires_at, authenticated_at)
				VALUES (?1, ?2, ?1, '', '', ?3, ?3, ?4, ?3)`, id, digest(id), now, now+1e9); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO host_sessions (token_hash, session_id, host, created_at)
				VALUES (?, ?, ?, ?)`, digest(host, token), id, host, now); err != nil {
				return err
			}
		}
		return nil
	}))
	return tokens
}
