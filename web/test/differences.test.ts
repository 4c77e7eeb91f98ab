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

test('a secret is one change, told by its slot', () => {
	const secret = (name: string) => ({ secrets: { DB: { context: 'shop', name } } });
	assert.deepEqual(differences({}, secret('URL'), 'spec'), [{ field: 'spec.secrets.DB', from: '', to: 'shop/URL' }]);
	assert.deepEqual(differences(secret('OLD'), secret('URL'), 'spec'), [{ field: 'spec.secrets.DB', from: 'shop/OLD', to: 'shop/URL' }]);
});

test('what is the same does not differ', () => {
	assert.deepEqual(differences({ image: 'shop' }, { image: 'shop', description: undefined }), []);
});
