/**
 * The tab's one event stream. Pages listen; whoever may have missed something
 * is told to ask again.
 */
import { openStream, type StreamState } from '$lib/api/stream';

/** One fact, as internal/event spells it. */
export interface Fact {
	id: number;
	at: string;
	kind: string;
	actor?: string;
	project?: string;
	stage?: string;
	deployment?: string;
	instance?: string;
	data?: Record<string, unknown>;
}

type Listener = (fact: Fact) => void;

class Events {
	state = $state<StreamState>('closed');
	retryInMs = $state(0);
	/** How often the stream came (back) to life: what was read before may be stale. */
	epoch = $state(0);

	#listeners = new Set<Listener>();
	#close: (() => void) | undefined;

	start(signedOut: () => void, notAllowed: () => void) {
		if (this.#close) return;
		this.#close = openStream('/api/events', {
			message: (kind, data) => {
				if (kind === 'ping') return;
				for (const listen of this.#listeners) listen(data as Fact);
			},
			state: (s, ms) => {
				if (s === 'live' && this.state !== 'live') this.epoch++;
				this.state = s;
				this.retryInMs = ms;
			},
			refused: (status) => {
				this.#close = undefined;
				if (status === 401) signedOut();
				if (status === 403) notAllowed();
			}
		});
	}

	stop() {
		this.#close?.();
		this.#close = undefined;
	}

	/** Calls listen for each fact from now on; the answer ends that. */
	on(listen: Listener): () => void {
		this.#listeners.add(listen);
		return () => this.#listeners.delete(listen);
	}
}

export const events = new Events();
