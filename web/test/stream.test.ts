import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff, parseBlock } from '$lib/api/stream';

test('the wait doubles, is capped, and is never less than half', () => {
	assert.equal(backoff(0, 500, 30_000, () => 0), 250);
	assert.equal(backoff(0, 500, 30_000, () => 1), 500);
	assert.equal(backoff(3, 500, 30_000, () => 1), 4000);
	assert.equal(backoff(99, 500, 30_000, () => 1), 30_000);
});

test('a block is read line by line', () => {
	assert.deepEqual(parseBlock('event: deployment.state\nid: 42\ndata: {"a":\ndata: 1}'), { event: 'deployment.state', id: 42, data: '{"a":\n1}' });
	assert.deepEqual(parseBlock('data:x'), { event: 'message', id: 0, data: 'x' });
	assert.equal(parseBlock(': a comment'), null);
});
