import type { Deployment, Step } from './api/types';
import { tagOf } from './stages';

/** The steps of the journal, as a person would say them. */
export const stepTitle: Record<string, string> = {
	preflight: 'Preflight',
	pull: 'Pull image',
	before_switch: 'Command before the switch',
	create: 'Create instances',
	start: 'Start instances',
	probe: 'Wait until ready',
	canary: 'Try as a canary',
	switch: 'Switch route',
	guard: 'Watch the release',
	after_switch: 'Command after the switch',
	drain: 'Drain old release',
	stop: 'Stop old release'
};

export const stepWord: Record<Step['state'], string> = { pending: 'waiting', running: 'running', done: 'done', failed: 'failed', skipped: 'skipped' };

export const kindWord: Record<Deployment['kind'], string> = { deploy: 'Deploy', redeploy: 'Redeploy', rollback: 'Roll back', promote: 'Promote' };

/** What asked for it: "pushed", "through the API", "by ana". */
export function askedBy(d: Pick<Deployment, 'trigger' | 'actor'>): string {
	if (d.trigger === 'push') return d.actor && d.actor !== 'registry' ? `pushed by ${d.actor}` : 'image pushed';
	if (d.trigger === 'promote') return 'by itself';
	if (d.trigger === 'webhook') return 'found by a webhook';
	if (d.trigger === 'poll') return 'found by polling';
	if (d.trigger === 'api') return d.actor ? `by ${d.actor} through the API` : 'through the API';
	return d.actor ? `by ${d.actor}` : 'by a person';
}

/** A deployment in a few words: "Deploy 1.4", "Roll back to 1.3". */
export function titleOf(d: Pick<Deployment, 'kind' | 'reference'>): string {
	const tag = tagOf(d.reference);
	return d.kind === 'rollback' ? `Roll back to ${tag}` : `${kindWord[d.kind] ?? d.kind} ${tag}`;
}

/** Whether the attempt is over. */
export const isOver = (state: string) => state !== 'held' && state !== 'waiting' && state !== 'running';
