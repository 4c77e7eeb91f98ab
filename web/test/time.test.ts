import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ago, between, shortDuration, took } from '$lib/time';

const now = Date.parse('2026-05-01T12:00:00Z');

test('a moment is told as people tell it', () => {
	for (const [at, words] of [
		['2026-05-01T11:59:55Z', 'just now'],
		['2026-05-01T11:59:20Z', '40 seconds ago'],
		['2026-05-01T11:57:10Z', '2 minutes ago'],
		['2026-05-01T09:00:00Z', '3 hours ago'],
		['2026-04-30T11:00:00Z', 'yesterday'],
		['2026-05-31T12:00:00Z', 'next month']
	]) assert.equal(ago(at!, now), words);
});

test('a duration is told in its two largest units', () => {
	for (const [ms, words] of [
		[-5, '0 ms'],
		[340, '340 ms'],
		[2449, '2.4 s'],
		[59_999, '59.9 s'],
		[185_000, '3 min 5 s'],
		[7_260_000, '2 h 1 min'],
		[90_000_000, '1 d 1 h']
	] as const) assert.equal(took(ms), words);
});

test('what has no end lasts until now', () => {
	assert.equal(between('2026-05-01T11:59:00Z', undefined, now), 60_000);
	assert.equal(between(undefined, undefined, now), 0);
});

test('Go durations lose their zeros', () => {
	for (const [go, short] of [['1m0s', '1m'], ['1h0m0s', '1h'], ['1h30m0s', '1h30m'], ['30s', '30s'], ['0s', '0s'], ['1m30s', '1m30s'], ['', '']]) assert.equal(shortDuration(go), short);
});
