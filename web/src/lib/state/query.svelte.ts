import { untrack } from 'svelte';
import { ApiError, messageOf } from '$lib/api/client';
import { events, type Fact } from './events.svelte';

/** Something read from the server, kept fresh by the event stream. */
export class Query<T> {
	data = $state.raw<T>();
	error = $state.raw<ApiError>();
	/** True until the first answer, good or bad. */
	loading = $state(true);

	#load: () => Promise<T>;
	#asked = 0; // how often
	#shown = 0; // which of them data and error are of
	#timer: ReturnType<typeof setTimeout> | undefined;

	constructor(load: () => Promise<T>) {
		this.#load = load;
	}

	/**
	 * Asks again, and waits until what is shown is no older than this call. An
	 * older answer never overwrites a newer one.
	 */
	async refresh(): Promise<void> {
		const mine = ++this.#asked;
		try {
			const data = await this.#load();
			if (mine < this.#shown) return;
			this.#shown = mine;
			this.data = data;
			this.error = undefined;
		} catch (e) {
			if (mine < this.#shown) return;
			this.#shown = mine;
			this.error = e instanceof ApiError ? e : new ApiError(0, { detail: messageOf(e) });
			// What was there stays readable when only the network is away.
			if (this.error.notFound || this.error.notAllowed) this.data = undefined;
		}
		this.loading = false;
	}

	/** Asks again soon, once for a burst of events. */
	soon(ms = 120) {
		this.#timer ??= setTimeout(() => {
			this.#timer = undefined;
			void this.refresh();
		}, ms);
	}

	reset() {
		this.data = undefined;
		this.error = undefined;
		this.loading = true;
	}

	stop() {
		this.#shown = ++this.#asked; // what is under way is for nobody
		clearTimeout(this.#timer);
		this.#timer = undefined;
	}
}

/**
 * Reads with load now, again when anything reactive that load reads changes,
 * when an event that `wants` chooses arrives, and after a gap in the stream.
 * To be called while a component is set up.
 */
export function query<T>(load: () => Promise<T>, wants?: (fact: Fact) => boolean): Query<T> {
	const q = new Query(load);
	$effect(() => {
		let first = true;
		untrack(() => q.reset());
		void q.refresh(); // tracked: load reads its parameters before it waits
		const off = wants && events.on((fact) => wants(fact) && q.soon());
		const gap = $effect.root(() => {
			$effect(() => {
				void events.epoch;
				if (!first) untrack(() => q.soon(0));
				first = false;
			});
		});
		return () => {
			off?.();
			gap();
			q.stop();
		};
	});
	return q;
}
