export interface Span {
	text: string;
	/** Class names of app.css: never a style attribute, so that CSP holds. */
	style: string;
	/** Part of what is searched for. */
	hit?: boolean;
}

const SGR = /\x1b\[([0-9;]*)m/g;
const OTHER = /\x1b(?:\[[0-9;?]*[A-Za-ln-z]|\][^\x07\x1b]*(?:\x07|\x1b\\))|\r/g;

/** Text with ANSI colours as spans with class names. Other control sequences go; no HTML is ever built. */
export function ansi(line: string): Span[] {
	const source = line.includes('\x1b') || line.includes('\r') ? line.replace(OTHER, '') : line;
	const spans: Span[] = [];
	let at = 0;
	let bold = false;
	let dim = false;
	let colour = 0;
	const push = (text: string) => {
		if (!text) return;
		const style = [bold && 'a1', dim && 'a2', colour && `a${colour}`].filter(Boolean).join(' ');
		spans.push({ text, style });
	};
	for (const m of source.matchAll(SGR)) {
		push(source.slice(at, m.index));
		at = m.index + m[0].length;
		for (const part of (m[1] || '0').split(';')) {
			const n = Number(part);
			if (n === 0) {
				bold = dim = false;
				colour = 0;
			} else if (n === 1) bold = true;
			else if (n === 2) dim = true;
			else if (n === 22) bold = dim = false;
			else if (n === 39) colour = 0;
			else if ((n >= 31 && n <= 36) || n === 90) colour = n;
			else if (n >= 91 && n <= 96) colour = n - 60;
		}
	}
	push(source.slice(at));
	return spans;
}

/** The text alone. */
export function plain(line: string): string {
	return line.replace(SGR, '').replace(OTHER, '');
}

/** Spans cut where what is searched for, in lower case, begins and ends: also across colours. */
export function marked(spans: Span[], needle: string): Span[] {
	if (!needle) return spans;
	const whole = spans.map((s) => s.text).join('').toLowerCase();
	const hits: [number, number][] = [];
	for (let at = whole.indexOf(needle); at >= 0; at = whole.indexOf(needle, at + needle.length)) hits.push([at, at + needle.length]);
	if (!hits.length) return spans;
	const cut: Span[] = [];
	let start = 0;
	for (const { text, style } of spans) {
		const end = start + text.length;
		let at = start;
		for (const [from, to] of hits) {
			if (to <= at || from >= end) continue;
			if (from > at) cut.push({ text: text.slice(at - start, from - start), style });
			const until = Math.min(to, end);
			cut.push({ text: text.slice(Math.max(from, at) - start, until - start), style, hit: true });
			at = until;
		}
		if (at < end) cut.push({ text: text.slice(at - start), style });
		start = end;
	}
	return cut;
}
