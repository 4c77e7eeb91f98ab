package selftest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

var requestSmuggling = Check{
	Name:       "request-smuggling",
	Prevents:   "A message that ends at one place for the gateway and at another for the app carries a second request past the decision.",
	Advisories: []string{"CVE-2025-22871", "CVE-2025-55315"},
	Attack: func(ctx context.Context, t *Try) {
		host := t.base()
		if t.Public != "" {
			host = t.on(t.Public)
		}
		m := mark()
		for _, message := range smugglers(host, "/"+m) {
			answers := t.Send(ctx, message)
			if len(answers) > 1 {
				t.Broken(message, fmt.Sprintf("%d answers; the second: %s", len(answers), answers[1].String()))
			}
			for i := range answers {
				if got, ok := t.reported(&answers[i]); ok && strings.Contains(head(got), m) {
					t.Broken(message, got)
				}
			}
		}
		if !t.Echo {
			t.Partly("what the app made of it")
			return
		}
		if a := t.Ask(ctx, "GET", t.on(t.Public), "/seen?"+m); a == nil || strings.TrimSpace(a.Body) != "0" {
			t.Broken("all of these", fmt.Sprintf("the app got requests for /%s: %v", m, a))
		}
	},
}

// head gives the lines of a message before its body.
func head(message string) string {
	before, _, _ := strings.Cut(message, "\r\n\r\n")
	return before
}

// smugglers are messages that end in one place or another, with a request for
// a path in what is in doubt.
func smugglers(host, path string) []string {
	hidden := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	post := func(body string, lines ...string) string {
		return "POST / HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
	}
	ended := "0\r\n\r\n"
	list := []string{
		post(ended+hidden, length(len(ended+hidden)), "Transfer-Encoding: chunked"),
		post(ended+hidden, "Transfer-Encoding: chunked", length(len(ended+hidden))),
		post(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), length(4), "Transfer-Encoding: chunked"),
		post(hidden, length(0), length(len(hidden))), post(hidden, length(len(hidden)), length(0)),
		post(hidden, fmt.Sprintf("Content-Length: 0, %d", len(hidden))),
		post(hidden, "Content-Length: +0"), post(hidden, "Content-Length: -1"), post(hidden, "Content-Length: 0x0"), post(hidden, "Content-Length: 0 0"),
		post(hidden, "Content-Length: 00000000000000000000000000000000000000"+strconv.Itoa(len(hidden))), post(hidden, "Content-Length: 18446744073709551616"),
		post(hidden, "Content-Length: "), post(hidden, "Content_Length: 0", "Content.Length: 0", length(len(hidden))),
		post(hidden, " Content-Length: 0"), post(hidden, "X: y\r\n Content-Length: 0", length(len(hidden))), post(hidden, "Content-Length\r\n : 0"),
		post(hidden, "Content-Length : 0"), post(hidden, "Content-Length\t: 0"), post(hidden, "Content-Length\x00: 0"), post(hidden, "X: y\rContent-Length: 0"), post(hidden, "X: y\nContent-Length: 0", length(len(hidden))),
	}
	for _, te := range []string{
		"Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: identity",
		"Transfer-Encoding: chunked, chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding\t: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "X: y\r\n Transfer-Encoding: chunked",
		"X: y\rTransfer-Encoding: chunked", "Transfer-Encoding: chunk\r\n ed", "Transfer_Encoding: chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: Chunked",
	} {
		list = append(list, post(ended+hidden, te, length(len(ended+hidden))))
	}
	for _, body := range []string{
		"3\nabc\r\n" + ended, "3;x\nabc\r\n" + ended, "3;\n" + ended, "2;\n\n\r\n" + ended, "3\r\nabc" + ended, "3\r\nabcd\r\n" + ended, "-1\r\n" + ended, "+0\r\n\r\n", "0x0\r\n\r\n", " 0\r\n\r\n",
		"00000000000000000000000000\r\n\r\n", "10000000000000000\r\nabc\r\n" + ended, "3\r\nabc\n0\r\n\r\n", "0\n\n", "0\r\n\n", "0\r\nContent-Length: 0\r\n\r\n", "0;\r\nx\r\n\r\n", "3 ;x\r\nabc\r\n" + ended, "0\r\n\r",
		strings.Repeat("0", 20<<10) + "\r\n\r\n", "3;" + strings.Repeat("x", 20<<10) + "\r\nabc\r\n" + ended,
	} {
		// The hidden request is part of a body that is said to have no end, so
		// whoever sees one in it is wrong; an honest end closes the connection.
		list = append(list, "POST / HTTP/1.1\r\nHost: "+host+"\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"+body+hidden)
	}
	return append(list,
		"POST / HTTP/1.0\r\nHost: "+host+"\r\nTransfer-Encoding: chunked\r\n\r\n"+ended+hidden,
		"GET / HTTP/1.1\r\nHost: "+host+"\r\n"+length(len(hidden))+"\r\nConnection: close\r\n\r\n"+hidden,
		"GET / HTTP/1.1\r\nHost: "+host+"\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"+length(len(hidden))+"\r\n\r\n"+hidden,
		"GET / HTTP/1.1\r\nHost: "+host+"\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"+length(len(hidden))+"\r\n\r\n"+hidden,
		"GET / HTTP/1.1 HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n", "GET /\x00 HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: "+host+"\r\n: x\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: "+host+"\r\nno colon\r\nConnection: close\r\n\r\n", "GET / HTTP/3.7\r\nHost: "+host+"\r\n\r\n"+hidden[:0], "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"+hidden,
	)
}
