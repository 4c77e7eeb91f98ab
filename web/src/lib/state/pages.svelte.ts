import { toast } from 'svelte-sonner';
import { messageOf } from '$lib/api/client';
import type { Fact } from './events.svelte';
import { query, type Query } from './query.svelte';

interface Part<T> {
	items: T[];
	next?: string;
}

/** Every item of a list, part after part: for what is few, and chosen from. */
export async function every<T>(load: (cursor: string) => Promise<Part<T>>): Promise<T[]> {
	const all: T[] = [];
	for (let cursor = ''; ; ) {
		const part = await load(cursor);
		all.push(...part.items);
		if (!part.next || part.next === cursor) return all;
		cursor = part.next;
	}
}

export interface Pages<T> {
	query: Query<T[]>;
	readonly more: boolean;
	readonly busy: boolean;
	next(): Promise<void>;
}

/** A list that is read a part at a time. A fresh look reads as many parts again as were shown. */
export function pages<T>(load: (cursor: string) => Promise<Part<T>>, wants?: (fact: Fact) => boolean): Pages<T> {
	let cursor = $state('');
	let busy = $state(false);
	let parts = 1;

	const q = query(async () => {
		// The first part is asked for at once, so that what load reads is tracked.
		let part = await load('');
		const all = [...part.items];
		for (let i = 1; i < parts && part.next; i++) {
			part = await load(part.next);
			all.push(...part.items);
		}
		cursor = part.next ?? '';
		return all;
	}, wants);

	return {
		query: q,
		get more() {
			return cursor !== '';
		},
		get busy() {
			return busy;
		},
		async next() {
			if (!cursor || busy) return;
			busy = true;
			try {
				const part = await load(cursor);
				q.data = [...(q.data ?? []), ...part.items];
				cursor = part.next ?? '';
				parts++;
			} catch (e) {
				toast.error(messageOf(e));
			}
			busy = false;
		}
	};
}
