import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everyMinute, everyUsage, instanceChoices, total } from '$lib/minutes';

const now = Date.parse('2026-03-01T12:00:30Z');
const used = (at: string, cpu: number, memory_limit = 0) => ({ at, cpu, cpu_max: 2 * cpu, memory: 3 * 1024 ** 2, memory_limit });

test('a minute of which nothing is known has a point without figures', () => {
	const points = everyUsage([used('2026-03-01T11:57:00Z', 0.5), used('2026-03-01T11:59:00Z', 0.25, 64 * 1024 ** 2)], 4, now);
	assert.deepEqual(
		points.map(({ cpu, cpuMax, memory, limit }) => [cpu, cpuMax, memory, limit]),
		[
			[50, 100, 3, null],
			[null, null, null, null],
			[25, 50, 3, 64]
		]
	);
	assert.equal(points[0]!.at, Date.parse('2026-03-01T11:57:00Z') / 1000);
});

test('the minute under way is shown once something is known of it', () => {
	assert.equal(everyUsage([used('2026-03-01T12:00:00Z', 1)], 4, now).at(-1)!.cpu, 100);
});

test('a step has what is told of it, and those between have no requests', () => {
	const hour = (at: string, requests: number) => ({ at, requests, errors: 1, bytes_in: 0, bytes_out: 0, p50_ms: 5, p95_ms: 50, p99_ms: 90 });
	const points = everyMinute([hour('2026-02-15T13:00:00Z', 7), hour('2026-03-01T11:00:00Z', 9)], 20160, now, 60);
	assert.equal(points.length, 14 * 24 - 1, 'the hour under way has none yet');
	assert.equal(points[0]!.at, Date.parse('2026-02-15T13:00:00Z') / 1000);
	assert.deepEqual(
		[0, 1, -1].map((i) => [points.at(i)!.requests, points.at(i)!.p95]),
		[
			[7, 50],
			[0, null],
			[9, 50]
		]
	);
	assert.deepEqual(total(points), { requests: 16, errors: 2 });
	assert.equal(everyUsage([used('2026-03-01T12:00:00Z', 1)], 10080, now, 30).length, 7 * 48);
});

test('a chart is of all instances or of one, and of one that is gone it is said', () => {
	assert.deepEqual(
		instanceChoices([
			{ instance: '0123456789', ordinal: 1, state: 'ready' },
			{ instance: '0123456780', ordinal: 0, state: 'stopped' }
		]).map((c) => c.label),
		['All together', 'Instance 2 (456789)', 'Instance 1, stopped (456780)']
	);
});
