import type { Deployment, Watch } from './api/types';

/** The watch of a deployment that runs now. */
export const running = (d: Pick<Deployment, 'watches'> | undefined): Watch | undefined => d?.watches?.find((w) => w.state === 'watching');

/** Errors in a hundred answers: "0 %", "0.4 %", "37 %". */
export function rate(seen: Watch['seen']): string {
	if (!seen.requests) return '–';
	const percent = (seen.errors / seen.requests) * 100;
	return `${percent === 0 || percent >= 10 ? Math.round(percent) : percent.toFixed(1)} %`;
}

/** What share of its time a watch has lasted, from 0 to 1. */
export function progress(w: Pick<Watch, 'since' | 'until'>, now: number): number {
	const from = new Date(w.since).getTime();
	const to = new Date(w.until).getTime();
	return to <= from ? 1 : Math.min(Math.max((now - from) / (to - from), 0), 1);
}
