export interface Line {
	/** Unique and growing within one log. */
	key: number;
	at: string;
	stream: string;
	text: string;
	step?: string;
	/** The number of the instance that wrote it, in a log of several. */
	instance?: number;
}

/** A log that only grows; additions are shown once a frame, whatever the rate they come at. */
export class LogBuffer {
	lines = $state.raw<Line[]>([]);
	/** Lines beyond this are dropped from the front. */
	readonly limit: number;
	#queue: Line[] = [];
	#frame: ReturnType<typeof setTimeout> | undefined;

	constructor(limit = 100_000) {
		this.limit = limit;
	}

	add(line: Line) {
		this.#queue.push(line);
		// Not requestAnimationFrame: a hidden tab would queue without end.
		this.#frame ??= setTimeout(() => this.flush(), 33);
	}

	flush() {
		clearTimeout(this.#frame);
		this.#frame = undefined;
		if (!this.#queue.length) return;
		const lines = this.lines.concat(this.#queue);
		this.lines = lines.length > this.limit ? lines.slice(lines.length - this.limit) : lines;
		this.#queue = [];
	}

	clear() {
		clearTimeout(this.#frame);
		this.#frame = undefined;
		this.#queue = [];
		this.lines = [];
	}
}
