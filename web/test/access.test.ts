import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choiceOf, fromPolicy, ruleInWords, toPolicy, verdictInWords, whoEnters } from '$lib/access';
import type { Policy } from '$lib/api/types';

const whole: Policy = {
	rules: [
		{ paths: ['/health'], allow: { public: true } },
		{
			methods: ['GET'],
			networks: ['10.0.0.0/8'],
			allow: { administrators: true, people: ['ana'], groups: ['corp:a, b'], claims: [{ name: 'level', operator: 'equals', value: '3' }, { name: 'team', operator: 'exists' }] },
			strength: 'passkey',
			within: '5m'
		},
		{ allow: { signed_in: true }, api_tokens: true, jwts: [{ issuer: 'https://ci.example', audience: 'shop' }] }
	]
};

test('a policy comes out of the form as it went in', () => {
	for (const rules of [whole.rules, [], [{ allow: {} }], [{ allow: { public: true } }], [{ allow: { people: ['ana'], groups: ['ops'] } }], [{ allow: { people: ['ana'] }, api_tokens: true }]]) {
		const policy = { rules, audience: 'kept' } as Policy;
		assert.deepEqual(toPolicy(fromPolicy(policy), 'at'), { policy: { audience: 'kept', rules }, errors: [] });
	}
	assert.deepEqual(toPolicy(fromPolicy(undefined), 'at').policy, { rules: [{ allow: { signed_in: true } }] });
});

test('only what a simple choice says whole is one', () => {
	assert.equal(choiceOf([]), 'nobody');
	assert.equal(choiceOf([{ allow: { public: true } }]), 'public');
	assert.equal(choiceOf([{ allow: { signed_in: true } }]), 'signed_in');
	assert.equal(choiceOf([{ allow: { administrators: true } }]), 'administrators');
	assert.equal(choiceOf([{ allow: { groups: ['ops'] } }]), 'some');
	for (const rule of [{ allow: {} }, { allow: { public: true }, paths: ['/x'] }, { allow: { signed_in: true, administrators: true } }, { allow: { people: ['ana'] }, strength: 'passkey' as const }]) assert.equal(choiceOf([rule]), 'rules', JSON.stringify(rule));
});

test('what is wrong is told at its rule', () => {
	const form = fromPolicy(whole);
	form.rules[1]!.within = 'soon';
	assert.deepEqual(toPolicy(form, 'spec.access').errors.map((e) => e.location), ['spec.access.rules.1.within']);
	assert.deepEqual(toPolicy({ ...fromPolicy(undefined), choice: 'some' }, 'spec.access').errors.map((e) => e.location), ['spec.access.some']);
});

test('who enters is said in few words', () => {
	assert.equal(whoEnters(undefined), 'Who has signed in');
	assert.equal(whoEnters({ rules: [] }), 'Nobody');
	assert.equal(whoEnters({ rules: [{ allow: { people: ['ana', 'bo', 'cy'], groups: ['ops'] } }] }), 'ana, bo and 2 more');
	assert.equal(whoEnters(whole), 'In part everybody, by 3 rules');
	assert.equal(ruleInWords(whole.rules[1]!), 'GET from 10.0.0.0/8: administrators, ana, group corp:a, b, level equals 3 and team exists');
	const verdict = { allowed: true, rule: 2, need: 'nothing' as const, why: 'the rule lets them in' };
	assert.equal(verdictInWords(verdict, whole.rules), 'with a passkey of the last 5m');
	assert.equal(verdictInWords({ ...verdict, rule: 3 }, whole.rules), 'by rule 3');
	assert.equal(verdictInWords({ allowed: false, rule: 2, need: 'nothing', why: 'the rule does not let them in' }, whole.rules), 'rule 2: does not let them in');
});
