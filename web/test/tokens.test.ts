import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceAsking } from '$lib/api/types';
import { couldDo, firstChoice } from '$lib/tokens';

const day = 86_400;
const asking = (scope: DeviceAsking['scope'], lives: number, same_network = true) => ({ scope, lives, same_network }) as DeviceAsking;

test('what a command line asks for is chosen at first, up to what is usual', () => {
	assert.deepEqual(firstChoice(asking('admin', 90 * day)), { scope: 'admin', lives: `${90 * day}` });
	assert.deepEqual(firstChoice(asking('deploy', 2 * day)), { scope: 'deploy', lives: `${2 * day}` });
	assert.deepEqual(firstChoice(asking('admin', 366 * day)), { scope: 'admin', lives: `${90 * day}` });
	assert.deepEqual(firstChoice(asking('read', 60)), { scope: 'read', lives: '60' });
});

test('one that asks from elsewhere is given the least at first', () => {
	assert.deepEqual(firstChoice(asking('admin', 366 * day, false)), { scope: 'read', lives: `${day}` });
	assert.deepEqual(firstChoice(asking('deploy', 3600, false)), { scope: 'read', lives: '3600' });
});

test('it is said what a command line could do, and until when', () => {
	assert.equal(couldDo(asking('admin', 90 * day), 'admin', `${90 * day}`, false), 'act as you for 90 days, with the scope “Admin”');
	assert.equal(couldDo(asking('admin', 90 * day), 'deploy', `${day}`, false), 'act as you for one day, with the scope “Deploy”');
	assert.equal(couldDo(asking('read', 36 * 3600), 'read', `${36 * 3600}`, true), 'open your apps as you for 36 hours');
});
