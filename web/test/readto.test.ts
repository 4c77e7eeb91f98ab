import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadTo } from '$lib/readto';

const line = (instance: string, at: number, text: string) => ({ instance, ordinal: 0, at: new Date(Date.UTC(2026, 2, 1, 12, 0, at)).toISOString(), stream: 'stdout', text });

test('after a break no line is shown again, whatever the order they came in', () => {
	const read = new ReadTo();
	assert.equal(read.resume(), undefined);
	const before = [line('a', 10, 'one'), line('a', 12, 'two'), line('b', 9, 'late'), line('b', 11, 'later'), line('b', 11, 'same moment')];
	for (const l of before) assert.equal(read.take(l), true, l.text);
	assert.equal(read.resume()?.toISOString(), '2026-03-01T11:59:12.000Z');
	for (const l of before) assert.equal(read.take(l), false, l.text);
	for (const l of [line('b', 11, 'new in that moment'), line('b', 12, 'newer'), line('a', 12, 'new too'), line('a', 13, 'newest')]) assert.equal(read.take(l), true, l.text);
});

test('of one that was not heard of, only what is new is shown', () => {
	const read = new ReadTo();
	read.take(line('a', 10, 'one'));
	assert.equal(read.resume()?.toISOString(), '2026-03-01T12:00:10.000Z');
	assert.equal(read.take(line('c', 9, 'older than all that is shown')), false);
	assert.equal(read.take(line('c', 11, 'it came meanwhile')), true);
});

test('a line that is written twice is shown twice', () => {
	const read = new ReadTo();
	assert.equal(read.take(line('a', 10, 'again')), true);
	assert.equal(read.take(line('a', 10, 'again')), true);
});
