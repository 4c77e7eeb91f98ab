/** The stage that the pages below /projects/x/stages/y are about. */
import { getContext, setContext } from 'svelte';
import { api, must } from '$lib/api/client';
import type { ProjectStatus, StageStatus } from '$lib/api/types';
import { query, type Query } from './query.svelte';

export interface StageContext {
	readonly project: string;
	readonly name: string;
	/** The project with all its stages: its image is asked for everywhere. */
	query: Query<{ project: ProjectStatus; stage: StageStatus }>;
}

const key = Symbol('stage');

async function load(project: string, stage: string) {
	const [p, s] = await Promise.all([
		must(api.GET('/api/projects/{project}', { params: { path: { project } } })),
		must(api.GET('/api/projects/{project}/stages/{stage}', { params: { path: { project, stage } } }))
	]);
	return { project: p, stage: s };
}

export function provideStage(project: () => string, name: () => string): StageContext {
	return setContext<StageContext>(key, {
		get project() {
			return project();
		},
		get name() {
			return name();
		},
		query: query(
			() => load(project(), name()),
			(fact) => fact.project === project() && (!fact.stage || fact.stage === name()) && fact.kind !== 'deployment.log'
		)
	});
}

export const useStage = () => getContext<StageContext>(key);
