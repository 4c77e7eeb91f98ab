import assert from 'node:assert/strict';
import { test } from 'node:test';
import { products } from '$lib/sources';

test('registries that would tell of each pull are told not to', () => {
	for (const source of ['distribution', 'gitlab'] as const) {
		const example = products[source].example?.('https://berth.example.com/hook', 'key') ?? '';
		assert.match(example, /ignore\b[\s\S]*mediatypes\W+application\/octet-stream[\s\S]*actions\W+pull/, source);
	}
});
