import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentWords } from '$lib/agent';
import { canonical, fieldError } from '$lib/fields';
import { bytes, parseBytes } from '$lib/size';
import { shortDigest, tagOf, worst } from '$lib/stages';
import { fieldWords } from '$lib/words';

test('sizes are said and read', () => {
	assert.equal(bytes(0), '0 B');
	assert.equal(bytes(1536), '1.5 KiB');
	assert.equal(bytes(512 * 1024 ** 2), '512 MiB');
	assert.equal(parseBytes('512M'), 512 * 1024 ** 2);
	assert.equal(parseBytes('1.5 GiB'), 1.5 * 1024 ** 3);
	assert.equal(parseBytes(''), 0);
	assert.ok(Number.isNaN(parseBytes('a lot')));
});

test('a release is known by its tag or the start of its digest', () => {
	assert.equal(tagOf('shop:1.4'), '1.4');
	assert.equal(tagOf('localhost:8080/shop:1.4'), '1.4');
	assert.equal(tagOf('localhost:8080/shop'), 'latest');
	assert.equal(tagOf('1.4'), '1.4');
	assert.equal(tagOf('shop@sha256:0123456789abcdef'), '0123456789ab');
	assert.equal(tagOf('sha256:0123456789abcdef'), '0123456789ab');
	assert.equal(shortDigest(undefined), '');
});

test('a project looks as its worst stage does', () => {
	assert.equal(worst([{ state: 'healthy' }, { state: 'down' }]), 'down');
	assert.equal(worst([{ state: 'empty' }]), 'empty');
	assert.equal(worst([]), 'empty');
});

test('an error is found at its field, however its path is spelt', () => {
	assert.equal(canonical('body.spec.volumes[0].path'), 'spec.volumes.0.path');
	const errors = [{ location: 'spec.volumes[1].name', message: 'taken' }];
	assert.equal(fieldError(errors, 'spec.volumes.1.name'), 'taken');
	assert.equal(fieldError(errors, 'spec.volumes'), 'taken');
	assert.equal(fieldError(errors, 'spec.volume'), undefined);
});

test('fields have the words of the form', () => {
	assert.equal(fieldWords('spec.env.LOG_LEVEL'), 'Variable LOG_LEVEL');
	assert.equal(fieldWords('spec.probe.path'), 'Probe path');
	assert.equal(fieldWords('image'), 'Image');
});

test('a browser is named with its system', () => {
	assert.deepEqual(agentWords('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'), { words: 'Firefox on Linux', kind: 'desktop' });
	assert.deepEqual(agentWords('Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1'), { words: 'Safari on iOS', kind: 'phone' });
	assert.deepEqual(agentWords('curl/8.5.0'), { words: 'curl', kind: 'program' });
});
