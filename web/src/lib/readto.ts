import type { LogLine } from './api/types';

/** How far before the newest line the logs of several instances are read again: theirs come a little out of order. */
const overlapMs = 60_000;

/**
 * How far a log was read. Its lines carry no ids: after a break it is read from
 * a moment on, and what came before is left out, of each instance for itself.
 */
export class ReadTo {
	#newest = 0;
	/** What the newest line was at the break; 0 before the first. */
	#resumed = 0;
	#last = new Map<string, { ms: number; lines: Set<string> }>();

	/** Takes a line, and says whether it is a new one. */
	take(line: LogLine): boolean {
		const ms = new Date(line.at).getTime();
		const same = `${line.at}${line.stream}${line.text}`;
		const last = this.#last.get(line.instance);
		if (this.#resumed && (ms < (last?.ms ?? this.#resumed) || (ms === last?.ms && last.lines.has(same)))) return false;
		if (!last || ms > last.ms) this.#last.set(line.instance, { ms, lines: new Set([same]) });
		else if (ms === last.ms) last.lines.add(same);
		this.#newest = Math.max(this.#newest, ms);
		return true;
	}

	/** Says from when on to read again; undefined when nothing was read. */
	resume(): Date | undefined {
		if (!this.#newest) return undefined;
		this.#resumed = this.#newest;
		return new Date(this.#last.size > 1 ? this.#newest - overlapMs : this.#newest);
	}
}
