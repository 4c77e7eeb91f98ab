import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ansi, plain } from '$lib/ansi';

test('colours become classes', () => {
	assert.deepEqual(ansi('a \x1b[1;31mred\x1b[0m b'), [
		{ text: 'a ', style: '' },
		{ text: 'red', style: 'a1 a31' },
		{ text: ' b', style: '' }
	]);
});

test('bright colours are the plain ones', () => assert.deepEqual(ansi('\x1b[92mok'), [{ text: 'ok', style: 'a32' }]));

test('other control sequences go', () => {
	assert.equal(plain('\x1b[2K\x1b[1Gdone\r'), 'done');
	assert.equal(plain('\x1b]0;title\x07x'), 'x');
	assert.equal(plain('\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\'), 'link');
});

test('markup stays text', () => assert.deepEqual(ansi('<b>&'), [{ text: '<b>&', style: '' }]));
