/**
 * xterm.js puts its styles into style elements and style attributes, which the
 * dashboard's Content-Security-Policy does not let in. What it makes its
 * elements with is given here instead: the same, by way of the CSSOM.
 */
export function styledDocument(): Document {
	return new Proxy(document, {
		get(target, name) {
			if (name === 'createElement') return create;
			const value: unknown = Reflect.get(target, name, target);
			return typeof value === 'function' ? value.bind(target) : value;
		}
	});
}

function create(tag: string): HTMLElement {
	if (tag === 'style') return sheet();
	const element = document.createElement(tag);
	element.setAttribute = (name: string, value: string) => {
		if (name === 'style') element.style.cssText = value;
		else Element.prototype.setAttribute.call(element, name, value);
	};
	return element;
}

/** Stands for a style element: its text is a sheet that the document adopts. */
function sheet(): HTMLElement {
	const styles = new CSSStyleSheet();
	const element = document.createElement('template');
	document.adoptedStyleSheets.push(styles);
	Object.defineProperty(element, 'textContent', { set: (text: string) => styles.replaceSync(text) });
	element.remove = () => {
		document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== styles);
		Element.prototype.remove.call(element);
	};
	return element;
}

export interface ExecEnd {
	code?: number;
	detail?: string;
	error?: string;
}

export interface Session {
	type(text: string): void;
	resize(columns: number, rows: number): void;
	close(): void;
}

/** Splits what a person types into words, as a shell does with plain quotes. */
export function words(line: string): string[] {
	return [...line.matchAll(/(?:"([^"]*)"|'([^']*)'|[^\s"']+)+/g)].map(([word]) => word.replace(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}

/** Runs a command in an instance; ended is called once. */
export function openSession(
	instance: string,
	start: { command: string[]; columns: number; rows: number },
	on: { output: (bytes: Uint8Array) => void; opened: () => void; ended: (end: ExecEnd) => void }
): Session {
	const address = new URL(`/api/instances/${encodeURIComponent(instance)}/exec`, location.href);
	address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
	const socket = new WebSocket(address, 'berth.exec.v1');
	socket.binaryType = 'arraybuffer';
	let end: ExecEnd | undefined;
	let opened = false;
	const tell = (message: object) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
	socket.onopen = () => {
		opened = true;
		tell({ ...start, tty: true });
		on.opened();
	};
	socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
		if (typeof data === 'string') end = JSON.parse(data) as ExecEnd;
		else on.output(new Uint8Array(data, 1));
	};
	socket.onclose = () => on.ended(end ?? { error: opened ? 'The connection ended.' : 'Berth did not let it begin: the instance may be gone, or you may not.' });
	const encoder = new TextEncoder();
	return {
		type: (text) => {
			if (socket.readyState !== WebSocket.OPEN) return;
			const bytes = encoder.encode(text);
			for (let at = 0; at < bytes.length; at += 32_768) socket.send(bytes.slice(at, at + 32_768));
		},
		resize: (columns, rows) => tell({ columns, rows }),
		close: () => socket.close()
	};
}
