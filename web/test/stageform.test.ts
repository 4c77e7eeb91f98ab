import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromSpec, suggestHostname, toSpec } from '$lib/stageform';
import { variableChanges } from '$lib/variables';

const whole = {
	hostname: 'shop.example.com',
	access: { rules: [{ allow: { groups: ['ops'] } }] },
	path_prefix: '/api',
	strip_prefix: true,
	tags: { kind: 'semver' as const, pattern: '^1.2' },
	port: 8080,
	protocol: 'h2c' as const,
	command: ['serve', '--port', '80 80'],
	env: { A: '1', B: 'x=y' },
	secrets: { PASSWORD: { context: 'shop', name: 'db' } },
	volumes: [{ name: 'data', path: '/data', read_only: true }],
	mounts: [
		{ kind: 'bind' as const, source: '/srv/media', path: '/media', read_only: true },
		{ kind: 'tmpfs' as const, path: '/cache', size: 64 * 1024 ** 2 }
	],
	cpus: 0.5,
	memory: 512 * 1024 ** 2,
	replicas: 2,
	probe: { kind: 'http' as const, path: '/health', status: 204, interval: '2s', timeout: '500ms', successes: 3, start_deadline: '1m30s' },
	drain_timeout: '30s',
	stream_drain_timeout: '1m',
	keep_old: '0s',
	stop_timeout: '10s',
	request_timeout: '1m',
	max_body_bytes: 10 * 1024 ** 2,
	guard: { window: '2m', error_rate: 2.5, min_requests: 20, latency_factor: 3, restarts: 1 },
	canary: { share: 10, duration: '5m' }
};

test('a stage comes out of the form as it went in', () => {
	const { spec, errors } = toSpec(fromSpec(whole));
	assert.deepEqual(errors, []);
	assert.deepEqual(spec, whole);
});

test('a stage that promotes comes out as it went in, with no tag rule beside', () => {
	const promoting = { ...whole, tags: { kind: 'none' as const }, promote_from: 'staging', promote_after: '10m', auto_promote: true, promote_approval: true };
	assert.deepEqual(toSpec(fromSpec(promoting)).spec, promoting);
	assert.deepEqual(toSpec(fromSpec({ ...whole, approve: true })).spec, { ...whole, approve: true });
	const chosen = { ...fromSpec({ ...whole, approve: true }), tagKind: 'promote' as const };
	assert.deepEqual(toSpec(chosen).errors.map((e) => e.location), ['spec.promote_from']);
	assert.equal(toSpec(chosen).spec.approve, undefined);
});

test('a stage without a guard keeps none', () => {
	const { guard, canary, ...without } = whole;
	assert.ok(guard && canary);
	assert.deepEqual(toSpec(fromSpec(without)).spec, without);
	assert.deepEqual(toSpec({ ...fromSpec(without), canary: true }).spec.guard, { error_rate: 5, min_requests: 20 }, 'a canary is judged by the same limits');
});

test('what is no number, size or duration is told at its field', () => {
	const form = { ...fromSpec(whole), port: 'x', memory: 'much', drainTimeout: 'soon', replicas: '1.5' };
	assert.deepEqual(toSpec(form).errors.map((e) => e.location).sort(), ['spec.drain_timeout', 'spec.memory', 'spec.port', 'spec.replicas']);
});

test('a duration without a unit is in seconds', () => assert.equal(toSpec({ ...fromSpec(whole), stopTimeout: '20' }).spec.stop_timeout, '20s'));

test('two variables of one name are told apart by nobody', () => {
	const form = fromSpec(whole);
	form.variables.push({ ...form.variables[0]!, id: 99 });
	assert.deepEqual(toSpec(form).errors.map((e) => e.location), [`variables.${form.variables.length - 1}`]);
});

test('variables edited as text count instead of the rows, and secrets stay', () => {
	const form = { ...fromSpec(whole), envText: 'A=2\nC="two\nlines"' };
	assert.deepEqual(toSpec(form).spec.env, { A: '2', C: 'two\nlines' });
	assert.deepEqual(toSpec(form).spec.secrets, whole.secrets);
	assert.deepEqual(toSpec({ ...form, envText: 'A' }).errors, [{ location: 'variables.text', message: 'Line 1: There is no "=": write NAME=value.' }]);
	assert.match(toSpec({ ...form, envText: 'PASSWORD=x' }).errors[0]!.message, /secret already/);
});

test('what saving would do to the variables is told by name', () => {
	assert.deepEqual(variableChanges({ env: { A: '1', B: '2', C: '3' }, secrets: {} }, { env: { A: '1', B: '3', D: '' }, secrets: { C: { context: 'shop', name: 'c' } } }), [
		{ name: 'B', change: 'changed', from: '2', to: '3' },
		{ name: 'C', change: 'changed', from: '3', to: 'secret shop/c' },
		{ name: 'D', change: 'added', from: '', to: '' }
	]);
	assert.deepEqual(variableChanges({ env: { A: '' } }, {}), [{ name: 'A', change: 'removed', from: '', to: '' }]);
});

test('a hostname stands beside Berth’s own', () => {
	assert.equal(suggestHostname('shop', 'prod', 'http://localhost:8080'), 'shop.localhost');
	assert.equal(suggestHostname('shop', 'dev', 'https://berth.example.com'), 'shop-dev.example.com');
	assert.equal(suggestHostname('shop', 'prod', 'https://example.com'), 'shop.example.com');
	assert.equal(suggestHostname('shop', 'prod', 'http://127.0.0.1:8080'), 'shop.localhost');
});
