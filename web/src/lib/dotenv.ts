/**
 * Variables as the text of a .env file. Values are taken as they stand: nothing
 * in them is replaced, not even $NAME.
 */
export interface Dotenv {
	variables: [name: string, value: string][];
	errors: { line: number; message: string }[];
}

const nameForm = /^[A-Za-z_][A-Za-z0-9_]*$/;
const escapes: Record<string, string> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\', $: '$' };

/** Reads NAME=value lines: comments, "export", and quotes, within which a value may go over several lines. */
export function parseDotenv(text: string): Dotenv {
	const found: Dotenv = { variables: [], errors: [] };
	const lines = text.split(/\r\n|\r|\n/);
	const seen = new Map<string, number>();
	for (let at = 0; at < lines.length; at++) {
		const first = at;
		const wrong = (message: string) => void found.errors.push({ line: first + 1, message });
		const line = lines[at]!.trim();
		if (!line || line.startsWith('#')) continue;
		const equals = line.indexOf('=');
		if (equals < 0) {
			wrong('There is no "=": write NAME=value.');
			continue;
		}
		const name = line.slice(0, equals).replace(/^export\s+/, '').trim();
		const said = line.slice(equals + 1).trim();
		const quote = said[0];
		let value: string | undefined;
		if (quote === '"' || quote === "'") {
			// From the quote on, over as many lines as it takes.
			const begin = lines[at]!.indexOf(quote, lines[at]!.indexOf('=') + 1) + 1;
			let rest = lines[at]!.slice(begin);
			let end = closing(rest, quote);
			while (end < 0 && at + 1 < lines.length) {
				rest += `\n${lines[++at]!}`;
				end = closing(rest, quote);
			}
			if (end < 0) {
				wrong(`The quote ${quote} is not closed.`);
				at = first; // what follows is read for itself
				continue;
			}
			const behind = rest.slice(end + 1).trim();
			if (behind && !behind.startsWith('#')) {
				wrong(`Something follows the closing quote ${quote}.`);
				continue;
			}
			value = rest.slice(0, end);
			if (quote === '"') value = value.replace(/\\([\s\S])/g, (whole, c: string) => escapes[c] ?? whole);
		} else {
			value = said.startsWith('#') ? '' : said.replace(/\s+#.*$/, '');
		}
		if (!nameForm.test(name)) wrong(name ? `"${name}" is no name: letters, digits and "_", not a digit first.` : 'A name is missing before the "=".');
		else if (seen.has(name)) wrong(`${name} is set on line ${seen.get(name)} already.`);
		else {
			seen.set(name, first + 1);
			found.variables.push([name, value]);
		}
	}
	return found;
}

/** Where the quote is closed; -1 when it is not. A backslash counts only between double quotes. */
function closing(text: string, quote: string): number {
	for (let i = 0; i < text.length; i++) {
		if (quote === '"' && text[i] === '\\') i++;
		else if (text[i] === quote) return i;
	}
	return -1;
}

/** The text that parseDotenv reads back as the same variables. */
export function formatDotenv(variables: [name: string, value: string][]): string {
	return variables.map(([name, value]) => `${name}=${quoted(value)}\n`).join('');
}

function quoted(value: string): string {
	if (/^[^\s'"#\\]([^'"#\\\r\n]*[^\s'"#\\])?$/.test(value) || value === '') return value;
	if (!/['\r]/.test(value)) return `'${value}'`;
	return `"${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\r/g, '\\r')}"`;
}
