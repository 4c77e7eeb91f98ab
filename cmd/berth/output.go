package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"berth/internal/fault"
)

// output writes what a command has to say: results on stdout, as JSON when
// that is asked for, and words for a person on stderr.
type output struct {
	out, err io.Writer
	json     bool
}

func newOutput(out, err io.Writer, asJSON bool) *output { return &output{out, err, asJSON} }

// result prints v as JSON, or has human print it.
func (o *output) result(v any, human func()) error {
	if !o.json {
		human()
		return nil
	}
	encoder := json.NewEncoder(o.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// line prints v as one line of JSON, or has human print it: for streams.
func (o *output) line(v any, human func()) error {
	if !o.json {
		human()
		return nil
	}
	encoder := json.NewEncoder(o.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// printf writes to stdout.
func (o *output) printf(format string, args ...any) { fmt.Fprintf(o.out, format, args...) }

// note tells a person something that is not the result.
func (o *output) note(format string, args ...any) { fmt.Fprintf(o.err, format+"\n", args...) }

// table prints aligned columns under a heading.
func (o *output) table(heading []string, rows [][]string) {
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(heading, "\t")))
	for _, row := range rows {
		for i := range row {
			row[i] = oneLine(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
}

// pairs prints aligned names and values.
func (o *output) pairs(list ...[2]string) {
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	for _, p := range list {
		if p[1] != "" {
			fmt.Fprintf(w, "%s:\t%s\n", p[0], oneLine(p[1]))
		}
	}
	_ = w.Flush()
}

// problem tells a person what went wrong.
func (o *output) problem(err error) {
	f, isFault := errors.AsType[*fault.Error](err)
	if o.json {
		said := map[string]any{"code": fault.KindOf(err).String(), "detail": err.Error()}
		if isFault {
			said["detail"] = f.Message
			if len(f.Fields) > 0 {
				said["errors"] = f.Fields
			}
		}
		encoder := json.NewEncoder(o.err)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(said)
		return
	}
	if !isFault {
		for line := range strings.SplitSeq("berth: "+err.Error(), "\n") {
			fmt.Fprintln(o.err, oneLine(line))
		}
		return
	}
	// The message of a fault with fields is theirs, in one line.
	switch len(f.Fields) {
	case 0:
		said := oneLine(f.Message)
		if f.Unmeant {
			said += "; --force says that it is meant"
		}
		fmt.Fprintln(o.err, "berth:", said)
	case 1:
		fmt.Fprintf(o.err, "berth: %s: %s\n", oneLine(f.Fields[0].Name), oneLine(f.Fields[0].Message))
	default:
		fmt.Fprintf(o.err, "berth: %d fields are wrong:\n", len(f.Fields))
		for _, field := range f.Fields {
			fmt.Fprintf(o.err, "  %s: %s\n", oneLine(field.Name), oneLine(field.Message))
		}
	}
}

// oneLine keeps what strangers wrote from breaking a table or moving the
// terminal's cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
}

// ago says how long ago a time was, in one unit.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

// bytesText spells a size with the unit that suits it.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
