/** Server-sent events over fetch: resumable, with capped and jittered back-off. */
export type StreamState = 'connecting' | 'live' | 'waiting' | 'closed';

export interface StreamOptions {
	/** One message; id is 0 where the server gave none. */
	message: (event: string, data: unknown, id: number) => void;
	/** Return true when the server has said all it will: no reconnect follows. */
	finished?: () => boolean;
	state?: (s: StreamState, retryInMs: number) => void;
	/** The server refused for good: 401, 403 or 404. */
	refused?: (status: number) => void;
	/** Resume after this id. */
	after?: number;
	baseMs?: number;
	capMs?: number;
	/** Silence for longer than this counts as a lost connection. */
	idleMs?: number;
}

/** How long to wait before try number `attempt`: half certain, half random, never zero. */
export function backoff(attempt: number, base = 500, cap = 30_000, random = Math.random): number {
	const ceiling = Math.min(cap, base * 2 ** Math.min(attempt, 16));
	return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}

export interface Message {
	event: string;
	data: string;
	id: number;
}

/** Reads one block of an event stream; null when it carries no data, as a comment does. */
export function parseBlock(block: string): Message | null {
	let event = 'message';
	let id = 0;
	const data: string[] = [];
	for (const line of block.split(/\r?\n/)) {
		if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
		else if (line.startsWith('event:')) event = line.slice(6).trim();
		else if (line.startsWith('id:')) id = Number(line.slice(3)) || 0;
	}
	return data.length ? { event, data: data.join('\n'), id } : null;
}

/** Opens the stream and keeps it open; the answer closes it. */
export function openStream(url: string, o: StreamOptions): () => void {
	let last = o.after ?? 0;
	let attempt = 0;
	let stopped = false;
	let control: AbortController | undefined;
	let timer: ReturnType<typeof setTimeout> | undefined;
	let wakeUp: (() => void) | undefined;

	const wait = (ms: number) =>
		new Promise<void>((resolve) => {
			wakeUp = resolve;
			timer = setTimeout(resolve, ms);
		});
	const hurry = () => {
		clearTimeout(timer);
		wakeUp?.();
	};
	const seen = () => {
		if (document.visibilityState === 'visible') hurry();
	};
	addEventListener('online', hurry);
	document.addEventListener('visibilitychange', seen);

	async function once(): Promise<void> {
		control = new AbortController();
		let dog: ReturnType<typeof setTimeout> | undefined;
		const feed = () => {
			clearTimeout(dog);
			dog = setTimeout(() => control?.abort('idle'), o.idleMs ?? 45_000);
		};
		try {
			feed();
			const headers: Record<string, string> = { Accept: 'text/event-stream' };
			if (last > 0) headers['Last-Event-ID'] = String(last);
			const answer = await fetch(url, { headers, signal: control.signal, cache: 'no-store' });
			if ([401, 403, 404].includes(answer.status)) {
				stopped = true;
				o.refused?.(answer.status);
				return;
			}
			if (!answer.ok || !answer.body) throw new Error(`HTTP ${answer.status}`);
			const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
			let buffer = '';
			for (;;) {
				const { done, value } = await reader.read();
				if (done) return;
				feed();
				buffer += value;
				for (let cut; (cut = /\r?\n\r?\n/.exec(buffer)); ) {
					dispatch(buffer.slice(0, cut.index));
					buffer = buffer.slice(cut.index + cut[0].length);
				}
			}
		} finally {
			clearTimeout(dog);
		}
	}

	function dispatch(block: string) {
		const m = parseBlock(block);
		if (!m || stopped) return;
		attempt = 0; // a message, not a bare connection, says that all is well
		o.state?.('live', 0);
		if (m.id) {
			if (m.id <= last) return; // replayed
			last = m.id;
		}
		o.message(m.event, JSON.parse(m.data), m.id);
	}

	void (async () => {
		while (!stopped) {
			o.state?.('connecting', 0);
			try {
				await once();
			} catch {
				// Lost network, silence, 5xx: all tried again.
			}
			if (stopped || o.finished?.()) break;
			const ms = backoff(attempt++, o.baseMs, o.capMs);
			o.state?.('waiting', ms);
			await wait(ms);
		}
		o.state?.('closed', 0);
		removeEventListener('online', hurry);
		document.removeEventListener('visibilitychange', seen);
	})();

	return () => {
		stopped = true;
		control?.abort();
		hurry();
	};
}
