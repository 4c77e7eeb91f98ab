import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everyUsage } from '$lib/minutes';

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
