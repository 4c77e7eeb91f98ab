import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, kindsInWords, noAddress, type AddressFields, type ChannelService } from '$lib/channels';

// What a password may hold and an address must not show as its own signs.
const awkward = 'p@ss/w%rd:#?';

const address = (service: ChannelService, fields: Partial<AddressFields>): string => addressOf(service, { ...noAddress(), ...fields });

test('an address that is pasted whole stays as it is', () => {
	for (const service of ['slack', 'discord', 'teams', 'webhook'] as const) {
		assert.equal(address(service, { url: ' https://ana:p%40ss@hooks.example/T/1?x=%2F ' }), 'https://ana:p%40ss@hooks.example/T/1?x=%2F', service);
	}
});

test('the token of ntfy goes into the address whole', () => {
	assert.equal(address('ntfy', { url: 'https://ntfy.example/deploys' }), 'https://ntfy.example/deploys');
	const url = new URL(address('ntfy', { url: ' https://ntfy.example/deploys ', token: awkward }));
	assert.deepEqual([url.host, url.pathname, url.username, decodeURIComponent(url.password)], ['ntfy.example', '/deploys', '', awkward]);
});

test('the token and the room of Matrix go into the address whole', () => {
	const url = new URL(address('matrix', { url: 'https://matrix.example/', token: awkward, room: '#ops/night:matrix.example' }));
	assert.deepEqual([url.host, decodeURIComponent(url.password)], ['matrix.example', awkward]);
	assert.equal(decodeURIComponent(url.pathname), '/#ops/night:matrix.example');
	assert.equal(url.hash, '');
});

test('the account, the sender and everybody written to go into an e-mail address whole', () => {
	const url = new URL(address('email', { server: 'mail.example:587', username: 'berth@mail.example', token: awkward, from: 'Berth <berth+ci@mail.example>', to: 'ana@x.example, ben+ops@x.example\ncid@x.example' }));
	assert.deepEqual([url.protocol, url.host], ['smtp:', 'mail.example:587']);
	assert.deepEqual([decodeURIComponent(url.username), decodeURIComponent(url.password)], ['berth@mail.example', awkward]);
	assert.equal(url.searchParams.get('from'), 'Berth <berth+ci@mail.example>');
	assert.deepEqual(url.searchParams.getAll('to'), ['ana@x.example', 'ben+ops@x.example', 'cid@x.example']);
	assert.equal(url.searchParams.has('tls'), false);
});

test('an e-mail address says how the mail server is spoken to', () => {
	assert.equal(address('email', { server: 'mail.example', from: 'a@x.example', to: 'b@x.example', security: 'tls' }), 'smtps://mail.example?from=a%40x.example&to=b%40x.example');
	assert.equal(address('email', { server: 'localhost:25', from: 'a@x.example', to: 'b@x.example', security: 'none' }), 'smtp://localhost:25?from=a%40x.example&to=b%40x.example&tls=none');
});

test('what a channel is told of is said in words', () => {
	assert.equal(kindsInWords(['instance.down', 'deployment.failed']), 'failed deployments, instances down');
});
