import type { Minute, UsageMinute } from './api/types';

/** How far back charts go: minutes, what the choice is called, and the same in words. */
export const spans = [
	{ minutes: 60, label: '1 h', words: 'hour' },
	{ minutes: 360, label: '6 h', words: 'six hours' },
	{ minutes: 1440, label: '24 h', words: '24 hours' },
	{ minutes: 10080, label: '7 d', words: 'seven days' },
	{ minutes: 20160, label: '14 d', words: '14 days' }
];

/** A figure is of so many minutes: what one of them is called, and its unit. */
export const eachStep = (step: number) => (step === 1 ? { words: 'a minute', unit: '/min' } : step === 60 ? { words: 'an hour', unit: '/h' } : { words: `in ${step} minutes`, unit: `/${step} min` });

/**
 * The start of each of the last `length` minutes, in steps of so many, in Unix
 * seconds, with what is known of it. The step under way is left out until
 * something is.
 */
function every<T extends { at: string }, P>(items: T[], length: number, step: number, now: number, point: (at: number, of?: T) => P): P[] {
	const ms = step * 60_000;
	const known = new Map(items.map((m) => [Math.floor(new Date(m.at).getTime() / ms), m]));
	const last = Math.floor(now / ms);
	const count = Math.ceil(length / step);
	const points = Array.from({ length: count }, (_, i) => point((last - count + 1 + i) * step * 60, known.get(last - count + 1 + i)));
	return known.has(last) ? points : points.slice(0, -1);
}

const gone = (state: string) => state === 'stopped' || state === 'down';

/** What a chart can be of: all instances together, or one of them. */
export const instanceChoices = (instances: { instance: string; ordinal: number; state: string }[]) => [
	{ value: '', label: 'All together' },
	...instances.map((i) => ({ value: i.instance, label: `Instance ${i.ordinal + 1}${gone(i.state) ? `, ${i.state}` : ''} (${i.instance.slice(-6)})` }))
];

export interface Point {
	/** Start of the step, Unix seconds. */
	at: number;
	requests: number;
	errors: number;
	/** Milliseconds; null in a step without requests. */
	p50: number | null;
	p95: number | null;
	bytesOut: number;
}

/** A point for each step of the last `length` minutes. */
export function everyMinute(minutes: Minute[], length: number, now = Date.now(), step = 1): Point[] {
	return every(minutes, length, step, now, (at, m) => ({
		at,
		requests: m?.requests ?? 0,
		errors: m?.errors ?? 0,
		p50: m?.requests ? m.p50_ms : null,
		p95: m?.requests ? m.p95_ms : null,
		bytesOut: m?.bytes_out ?? 0
	}));
}

export function total(points: Point[]): { requests: number; errors: number } {
	return points.reduce((sum, p) => ({ requests: sum.requests + p.requests, errors: sum.errors + p.errors }), { requests: 0, errors: 0 });
}

export interface UsagePoint {
	/** Start of the step, Unix seconds. */
	at: number;
	/** Of one core, a hundredth each; null in a step of which nothing is known. */
	cpu: number | null;
	cpuMax: number | null;
	/** MiB; the limit is null where there is none. */
	memory: number | null;
	limit: number | null;
}

/** A point for each step of the last `length` minutes. */
export function everyUsage(minutes: UsageMinute[], length: number, now = Date.now(), step = 1): UsagePoint[] {
	return every(minutes, length, step, now, (at, m) => ({
		at,
		cpu: m ? m.cpu * 100 : null,
		cpuMax: m ? m.cpu_max * 100 : null,
		memory: m ? m.memory / 1024 ** 2 : null,
		limit: m?.memory_limit ? m.memory_limit / 1024 ** 2 : null
	}));
}
