/** What the shell reads once and every page may use. */
import { getContext, setContext } from 'svelte';
import { api, must } from '$lib/api/client';
import type { ProjectStatus, System } from '$lib/api/types';
import { every } from './pages.svelte';
import { query, type Query } from './query.svelte';

export interface Shared {
	projects: Query<ProjectStatus[]>;
	system: Query<System>;
}

const key = Symbol('shared');
const changesProjects = /^(project|stage)\.|^deployment\.state$|^instance\.state$/;

const allProjects = () => every((cursor) => must(api.GET('/api/projects', { params: { query: { limit: 200, ...(cursor && { cursor }) } } })));

/** To be called by the shell. */
export function share(): Shared {
	return setContext(key, {
		projects: query(allProjects, (fact) => changesProjects.test(fact.kind)),
		system: query(() => must(api.GET('/api/system')))
	});
}

export const shared = () => getContext<Shared>(key);
