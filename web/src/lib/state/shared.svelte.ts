/** What the shell reads once and every page may use. */
import { getContext, setContext } from 'svelte';
import { api, must } from '$lib/api/client';
import type { ProjectStatus, System } from '$lib/api/types';
import { query, type Query } from './query.svelte';

export interface Shared {
	projects: Query<ProjectStatus[]>;
	system: Query<System>;
}

const key = Symbol('shared');
const changesProjects = /^(project|stage)\.|^deployment\.state$|^instance\.state$/;

/** All projects: pages of the list are read to the end. */
async function allProjects(): Promise<ProjectStatus[]> {
	const all: ProjectStatus[] = [];
	for (let cursor = ''; ; ) {
		const page = await must(api.GET('/api/projects', { params: { query: { limit: 200, ...(cursor && { cursor }) } } }));
		all.push(...(page.items ?? []));
		if (!page.next || page.next === cursor) return all;
		cursor = page.next;
	}
}

/** To be called by the shell. */
export function share(): Shared {
	return setContext(key, {
		projects: query(allProjects, (fact) => changesProjects.test(fact.kind)),
		system: query(() => must(api.GET('/api/system')))
	});
}

export const shared = () => getContext<Shared>(key);
