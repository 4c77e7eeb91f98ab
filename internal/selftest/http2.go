package selftest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Field is one field of an HTTP/2 head.
type Field struct{ Name, Value string }

var http2Spellings = Check{
	Name:       "http2-header-smuggling",
	Prevents:   "What HTTP/1.1 can not spell comes in over HTTP/2: identity headers, second requests, another host.",
	Advisories: []string{"CVE-2023-27491", "CVE-2025-64484"},
	Needs:      NeedsGuarded,
	Attack: func(ctx context.Context, t *Try) {
		host, m := t.Guarded, mark()
		heads := [][]Field{}
		for _, name := range told {
			for _, spelled := range []string{name, strings.ToLower(name), strings.ReplaceAll(strings.ToLower(name), "-", "_"), strings.ReplaceAll(strings.ToLower(name), "-", ".")} {
				heads = append(heads, []Field{{spelled, m}})
			}
		}
		line := "x\r\nX-Berth-User: " + m
		heads = append(heads,
			[]Field{{"x-nothing", line}}, []Field{{"x-nothing\r\nx-berth-user", m}}, []Field{{"x-nothing: x\r\nx-berth-user", m}}, []Field{{"x-nothing", "x\nx-berth-user: " + m}}, []Field{{"x-nothing", "x\x00" + m}},
			[]Field{{"connection", "x-berth-user"}}, []Field{{"transfer-encoding", "chunked"}}, []Field{{"transfer-encoding", "identity"}}, []Field{{"upgrade", "websocket"}}, []Field{{"keep-alive", "x"}},
			[]Field{{"content-length", "0"}, {"content-length", "5"}}, []Field{{"content-length", "-1"}}, []Field{{"content-length", "7"}},
			[]Field{{"host", "evil.example"}}, []Field{{":authority", t.base()}}, []Field{{":path", "/public"}}, []Field{{":method", "POST"}}, []Field{{":berth-user", m}}, []Field{{"", m}}, []Field{{"x berth user", m}},
		)
		for _, more := range heads {
			t.head2(ctx, m, t.pseudo("GET", t.on(host), t.Closed), more)
		}
		for _, first := range [][]Field{
			t.pseudo("GET", t.on(host), t.Closed[1:]), t.pseudo("GET", t.on(host), t.Closed+"#x"), t.pseudo("GET", t.on(host), "/public/.."+t.Closed), t.pseudo("GET", t.on(host), "/"+t.Closed), t.pseudo("GET", t.on(host), `\`+t.Closed[1:]),
			t.pseudo("GET", t.on(host), "http://"+t.base()+t.Closed), t.pseudo("GET", t.on(host), ""), t.pseudo("GET", t.on(host), "*"), t.pseudo("GET", t.on(host), t.Closed+" HTTP/1.1\r\nX-Berth-User: "+m),
			t.pseudo("GET /x HTTP/1.1\r\nX-Berth-User: "+m+"\r\nX:", t.on(host), t.Closed), t.pseudo("CONNECT", t.on(host), t.Closed), t.pseudo("GET", t.on(host)+"@"+t.base(), t.Closed), t.pseudo("GET", t.base()+"@"+t.on(host), t.Closed),
			t.pseudo("GET", strings.ToUpper(t.on(host)), t.Closed), t.pseudo("GET", host+".", t.Closed),
			{{":method", "GET"}, {":path", t.Closed}, {":scheme", t.Base.Scheme}, {"host", t.on(host)}},
		} {
			t.head2(ctx, m, first, nil)
		}
	},
}

func (t *Try) pseudo(method, authority, path string) []Field {
	return []Field{{":method", method}, {":scheme", t.Base.Scheme}, {":authority", authority}, {":path", path}}
}

// head2 sends a head, for an app that lets nobody in; with somebody's session
// as well where there is one, and looks what the app was told.
func (t *Try) head2(ctx context.Context, mark string, first, more []Field) {
	sent := fmt.Sprintf("HTTP/2 %q %q", first, more)
	a, err := t.Send2(ctx, slices.Concat(first, more))
	if err != nil {
		t.Partly("over HTTP/2: " + err.Error())
		return
	}
	if !t.refuses(a) && a.Status != 0 {
		t.Broken(sent, a.String())
	}
	if t.Session == "" || !t.Echo || len(more) == 0 {
		return
	}
	open := append(t.pseudo("GET", first[2].Value, "/"), append([]Field{{"cookie", t.Session}}, more...)...)
	if a, err := t.Send2(ctx, open); err == nil {
		if got, ok := t.reported(a); ok && strings.Contains(got, mark) {
			t.Broken("signed in: "+sent, got)
		}
	}
}

// Send2 sends one head over HTTP/2, to the byte, on a connection of its own. An
// answer with the status 0 is none: the stream or the connection was reset.
func (t *Try) Send2(ctx context.Context, fields []Field) (*Answer, error) {
	if err := t.paced(ctx); err != nil {
		return nil, err
	}
	c, err := t.dial(ctx, "h2")
	if err != nil {
		return nil, err // a server may do without HTTP/2
	}
	defer func() { _ = c.Close() }()
	if secured, is := c.(*tls.Conn); is && secured.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, fmt.Errorf("%s does not take it", t.Base.Host)
	}
	t.sent++
	_ = c.SetDeadline(time.Now().Add(answerTimeout))
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	return t.exchange2(c, fields), nil
}

func (t *Try) exchange2(c net.Conn, fields []Field) *Answer {
	none := &Answer{Header: map[string][]string{}}
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = encoder.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value}) // to memory
	}
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return none
	}
	if framer.WriteSettings() != nil || framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndStream: true, EndHeaders: true}) != nil {
		return none
	}
	answer := none
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return answer
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() && framer.WriteSettingsAck() != nil {
				return answer
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return answer
		case *http2.MetaHeadersFrame:
			_, _ = fmt.Sscan(f.PseudoValue("status"), &answer.Status)
			for _, field := range f.RegularFields() {
				answer.Header.Add(field.Name, field.Value)
				t.Note([]byte(field.Name + ": " + field.Value + "\n"))
			}
			if f.StreamEnded() {
				return answer
			}
		case *http2.DataFrame:
			answer.Body += string(f.Data())
			t.Note(f.Data())
			if f.StreamEnded() || len(answer.Body) > answerMost {
				return answer
			}
		}
	}
}
