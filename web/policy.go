package web

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
)

var (
	inlineScript = regexp.MustCompile(`(?s)<script(?:\s[^>]*)?>(.*?)</script>`)
	scriptSource = regexp.MustCompile(`<script[^>]*\ssrc=`)
	inlineStyle  = regexp.MustCompile(`style="([^"<>$]+)"`)
)

// policyOf writes the Content-Security-Policy of a build: scripts of ours, and
// of what stands inline only what the build itself holds, by hash.
func policyOf(assets map[string]*asset) string {
	scripts := []string{"'self'"}
	if page := assets[shell]; page != nil {
		for _, m := range inlineScript.FindAllSubmatch(page.raw, -1) {
			if !scriptSource.Match(m[0]) {
				scripts = append(scripts, hashOf(m[1]))
			}
		}
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src " + strings.Join(scripts, " "),
		"style-src 'self'",
		"style-src-attr " + strings.Join(styleAttributes(assets), " "),
		"img-src 'self' data:",
		"font-src 'self'",
		"connect-src 'self'",
		"manifest-src 'self'",
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types svelte-trusted-html sveltekit-trusted-url",
	}, "; ")
}

// styleAttributes lists the style="…" of templates, which Svelte sets through
// innerHTML.
func styleAttributes(assets map[string]*asset) []string {
	var hashes []string
	for name, a := range assets {
		if !strings.HasSuffix(name, ".js") && name != shell {
			continue
		}
		for _, m := range inlineStyle.FindAllSubmatch(a.raw, -1) {
			hashes = append(hashes, hashOf(m[1]))
		}
	}
	if len(hashes) == 0 {
		return []string{"'none'"}
	}
	slices.Sort(hashes)
	return append([]string{"'unsafe-hashes'"}, slices.Compact(hashes)...)
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
