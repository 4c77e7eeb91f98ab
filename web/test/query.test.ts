import assert from 'node:assert/strict';
import test from 'node:test';
import { Query } from '$lib/state/query.svelte';

/** A query whose answers come when they are told to. */
function asked() {
	const answers: ((value: string) => void)[] = [];
	return { query: new Query(() => new Promise<string>((answer) => answers.push(answer))), answers };
}

test('an older answer never overwrites a newer one', async () => {
	const { query, answers } = asked();
	const [older, newer] = [query.refresh(), query.refresh()];
	answers[1]!('new');
	await newer;
	answers[0]!('old');
	await older;
	assert.equal(query.data, 'new');
});

test('whoever asked sees what is no older than that, with another call under way', async () => {
	const { query, answers } = asked();
	const mine = query.refresh();
	void query.refresh(); // as an event does
	answers[0]!('as I asked');
	await mine;
	assert.equal(query.data, 'as I asked');
});

test('what is under way when it ends is shown to nobody', async () => {
	const { query, answers } = asked();
	const mine = query.refresh();
	query.stop();
	answers[0]!('of before');
	await mine;
	assert.equal(query.data, undefined);
});
