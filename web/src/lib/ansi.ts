export interface Span {
	text: string;
	/** Class names of app.css: never a style attribute, so that CSP holds. */
	style: string;
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
