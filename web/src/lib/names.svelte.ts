/** The names of people, groups and providers, as far as whoever asks may see them. */
import { api, must } from '$lib/api/client';
import { query } from '$lib/state/query.svelte';
import { session } from '$lib/state/session.svelte';

export interface Suggestions {
	readonly people: string[];
	readonly groups: string[];
	readonly providers: string[];
}

/** To be called while a component is set up. */
export function nameSuggestions(): Suggestions {
	const groups = query(async () => (await must(api.GET('/api/groups'))).items.map((g) => g.name));
	const people = query(async () => {
		if (!session.administrator) return session.person ? [session.person.username] : [];
		return (await must(api.GET('/api/people', { params: { query: { limit: 200 } } }))).items.map((p) => p.username);
	});
	const providers = query(async () => (await must(api.GET('/api/sign-in'))).providers.map((p) => p.slug));
	return {
		get people() {
			return people.data ?? [];
		},
		get groups() {
			return groups.data ?? [];
		},
		get providers() {
			return providers.data ?? [];
		}
	};
}
