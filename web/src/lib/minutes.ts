import type { Minute, UsageMinute } from './api/types';

export interface Point {
	/** Start of the minute, Unix seconds. */
	at: number;
	requests: number;
	errors: number;
	/** Milliseconds; null in a minute without requests. */
	p50: number | null;
	p95: number | null;
	bytesOut: number;
}

/**
 * A point for each of the last `length` minutes: those without requests have
 * no row on the server. The minute under way is left out until it has one.
 */
export function everyMinute(minutes: Minute[], length: number, now = Date.now()): Point[] {
	const byMinute = new Map(minutes.map((m) => [Math.floor(new Date(m.at).getTime() / 60_000), m]));
	const last = Math.floor(now / 60_000);
	const points = Array.from({ length }, (_, i) => {
		const minute = last - length + 1 + i;
		const m = byMinute.get(minute);
		return {
			at: minute * 60,
			requests: m?.requests ?? 0,
			errors: m?.errors ?? 0,
			p50: m?.requests ? m.p50_ms : null,
			p95: m?.requests ? m.p95_ms : null,
			bytesOut: m?.bytes_out ?? 0
		};
	});
	return byMinute.has(last) ? points : points.slice(0, -1);
}

export function total(points: Point[]): { requests: number; errors: number } {
	return points.reduce((sum, p) => ({ requests: sum.requests + p.requests, errors: sum.errors + p.errors }), { requests: 0, errors: 0 });
}

export interface UsagePoint {
	/** Start of the minute, Unix seconds. */
	at: number;
	/** Of one core, a hundredth each; null in a minute of which nothing is known. */
	cpu: number | null;
	cpuMax: number | null;
	/** MiB; the limit is null where there is none. */
	memory: number | null;
	limit: number | null;
}

/** A point for each of the last `length` minutes; the minute under way is left out until something is known of it. */
export function everyUsage(minutes: UsageMinute[], length: number, now = Date.now()): UsagePoint[] {
	const byMinute = new Map(minutes.map((m) => [Math.floor(new Date(m.at).getTime() / 60_000), m]));
	const last = Math.floor(now / 60_000);
	const points = Array.from({ length }, (_, i) => {
		const minute = last - length + 1 + i;
		const m = byMinute.get(minute);
		return {
			at: minute * 60,
			cpu: m ? m.cpu * 100 : null,
			cpuMax: m ? m.cpu_max * 100 : null,
			memory: m ? m.memory / 1024 ** 2 : null,
			limit: m?.memory_limit ? m.memory_limit / 1024 ** 2 : null
		};
	});
	return byMinute.has(last) ? points : points.slice(0, -1);
}
