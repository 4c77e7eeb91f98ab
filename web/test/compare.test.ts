import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StageSpec } from '$lib/api/types';
import { lineUp } from '$lib/compare';

const spec = (more: object) => ({ hostname: 'shop.localhost', access: { rules: [] }, tags: { kind: 'none' }, probe: {}, ...more }) as unknown as StageSpec;

test('variables line up by their name, a secret by its slot', () => {
	const { variables } = lineUp([
		spec({ env: { LEVEL: 'debug', EMPTY: '', URL: 'shop / DB' } }),
		spec({ env: { LEVEL: 'debug' }, secrets: { URL: { context: 'shop', name: 'DB' } } })
	]);
	assert.deepEqual(variables.map((l) => [l.field, l.same]), [['EMPTY', false], ['LEVEL', true], ['URL', false]]);
	assert.deepEqual(variables[0]!.cells, [{ text: '', secret: false }, undefined], 'empty is not the same as not set');
	assert.deepEqual(variables[2]!.cells[1], { text: 'shop / DB', secret: true });
});

test('settings line up by their path, and lists by the names in them', () => {
	const { settings } = lineUp([
		spec({ command: ['serve', 'a b'], volumes: [{ name: 'files', path: '/f' }, { name: 'cache', path: '/c' }] }),
		spec({ replicas: 2, volumes: [{ name: 'cache', path: '/c' }] })
	]);
	const differing = settings.filter((l) => !l.same).map((l) => [l.words, ...l.cells.map((c) => c?.text)]);
	assert.deepEqual(differing, [
		['Command', 'serve "a b"', undefined],
		['Replicas', undefined, '2'],
		['Volume files name', 'files', undefined],
		['Volume files path', '/f', undefined]
	]);
});

test('stages that are the same have nothing that differs', () => {
	const { variables, settings } = lineUp([spec({ env: { A: '1' } }), spec({ env: { A: '1' } }), spec({ env: { A: '1' } })]);
	assert.ok([...variables, ...settings].every((l) => l.same));
});
