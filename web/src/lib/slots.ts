import { api, must } from '$lib/api/client';
import type { Slot } from '$lib/api/types';
import { every } from '$lib/state/pages.svelte';

/** The stored secrets by name, of one context or of all. */
export function allSlots(context = ''): Promise<Slot[]> {
	return every((cursor) => must(api.GET('/api/secrets', { params: { query: { limit: 200, ...(context && { context }), ...(cursor && { cursor }) } } })));
}
