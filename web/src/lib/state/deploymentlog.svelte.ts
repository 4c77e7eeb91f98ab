import { untrack } from 'svelte';
import { api, messageOf, must } from '$lib/api/client';
import { LogBuffer } from '$lib/logs.svelte';
import { events, type Fact } from './events.svelte';

const part = 1000;

/** A deployment's log: what was written so far, then what comes, each line once and in order. */
export class DeploymentLog {
	buffer = new LogBuffer();
	error = $state('');
	/** True once all that was there has been read. */
	loaded = $state(false);

	#id: string;
	#last = 0;
	#reading = false;
	#stopped = false;
	#early: Fact[] = [];

	constructor(id: string) {
		this.#id = id;
	}

	/** Begins; the answer ends it. */
	start(): () => void {
		const off = events.on((fact) => {
			if (fact.deployment !== this.#id || fact.kind !== 'deployment.log') return;
			if (this.#reading) this.#early.push(fact);
			else this.#take(fact);
		});
		void this.catchUp();
		return () => {
			this.#stopped = true;
			off();
			this.buffer.clear();
		};
	}

	/** Reads on from the last line that is here. */
	async catchUp(): Promise<void> {
		if (this.#reading || this.#stopped) return;
		this.#reading = true;
		let after = this.#last;
		try {
			for (;;) {
				const { items, next } = await must(api.GET('/api/deployments/{id}/log', { params: { path: { id: this.#id }, query: { after, limit: part } } }));
				if (this.#stopped) return;
				for (const fact of items) this.#take(fact as Fact);
				if (!next) break;
				after = Number(next);
			}
			this.loaded = true;
			this.error = '';
		} catch (e) {
			this.error = messageOf(e);
		} finally {
			this.#reading = false;
		}
		for (const fact of this.#early.splice(0)) this.#take(fact);
	}

	#take(fact: Fact) {
		if (fact.kind !== 'deployment.log' || fact.id <= this.#last) return;
		this.#last = fact.id;
		const d = fact.data as { step?: string; stream?: string; text?: string };
		this.buffer.add({ key: fact.id, at: fact.at, stream: d.stream ?? 'berth', text: d.text ?? '', step: d.step ?? '' });
	}
}

/** The log of one deployment, for as long as the component lives. */
export function deploymentLog(id: string): DeploymentLog {
	const log = new DeploymentLog(id);
	$effect(() => untrack(() => log.start()));
	let epoch = -1;
	$effect(() => {
		// After a gap what the stream did not bring is asked for.
		if (epoch >= 0 && events.epoch !== epoch) untrack(() => void log.catchUp());
		epoch = events.epoch;
	});
	return log;
}
