import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences } from '$lib/differences';

test('two specs differ by the paths of their fields', () => {
	const before = { hostname: 'shop.localhost', env: { GREETING: 'ahoy', LEVEL: 'info' }, command: ['serve'], probe: { path: '/' } };
	const after = { hostname: 'shop.localhost', env: { GREETING: 'hello' }, command: ['serve', '--now'], probe: { path: '/health' } };
	assert.deepEqual(differences(before, after, 'spec'), [
		{ field: 'spec.command[1]', from: '', to: '--now' },
		{ field: 'spec.env.GREETING', from: 'ahoy', to: 'hello' },
		{ field: 'spec.env.LEVEL', from: 'info', to: '' },
		{ field: 'spec.probe.path', from: '/', to: '/health' }
	]);
});

test('what is the same does not differ', () => {
	assert.deepEqual(differences({ image: 'shop' }, { image: 'shop', description: undefined }), []);
});
