/**
 * Who may enter, as a form holds it: one of a few choices, or a list of rules.
 * toPolicy and fromPolicy are each other's inverse for everything that the
 * API takes.
 */
import type { FieldError } from './api/client';
import type { AccessVerdict, Policy, PolicyRule } from './api/types';
import { shortDuration } from './time';

export type Choice = 'public' | 'signed_in' | 'administrators' | 'some' | 'nobody' | 'rules';

export interface ClaimRow {
	id: number;
	/** Whose claim it is; empty in policies from before that was said. */
	provider: string;
	name: string;
	operator: 'equals' | 'contains' | 'matches' | 'exists';
	value: string;
}

export interface IssuerRow {
	id: number;
	issuer: string;
	audience: string;
}

export interface RuleForm {
	id: number;
	methods: string[];
	paths: string[];
	networks: string[];
	public: boolean;
	signedIn: boolean;
	administrators: boolean;
	people: string[];
	groups: string[];
	claims: ClaimRow[];
	strength: '' | 'second_factor' | 'passkey';
	within: string;
	apiTokens: boolean;
	issuers: IssuerRow[];
}

export interface AccessForm {
	choice: Choice;
	/** For "some". */
	people: string[];
	groups: string[];
	/** For "rules". */
	rules: RuleForm[];
	/** What a policy says beside its rules. */
	beside: Omit<Policy, 'rules'>;
}

let lastRow = 0;
export const newClaim = (): ClaimRow => ({ id: ++lastRow, provider: '', name: '', operator: 'equals', value: '' });
export const newIssuer = (): IssuerRow => ({ id: ++lastRow, issuer: '', audience: '' });
export const newRule = (r: PolicyRule = { allow: {} }): RuleForm => ({
	id: ++lastRow,
	methods: [...(r.methods ?? [])],
	paths: [...(r.paths ?? [])],
	networks: [...(r.networks ?? [])],
	public: r.allow.public ?? false,
	signedIn: r.allow.signed_in ?? false,
	administrators: r.allow.administrators ?? false,
	people: [...(r.allow.people ?? [])],
	groups: [...(r.allow.groups ?? [])],
	claims: (r.allow.claims ?? []).map((c) => ({ ...newClaim(), ...c })),
	strength: r.strength ?? '',
	within: r.within && r.within !== '0s' ? shortDuration(r.within) : '',
	apiTokens: r.api_tokens ?? false,
	issuers: (r.jwts ?? []).map((j) => ({ ...newIssuer(), ...j }))
});

const signedIn: Policy = { rules: [{ allow: { signed_in: true } }] };

/** What the form says of a policy; everybody who has signed in where there is none. */
export function fromPolicy(p: Policy = signedIn): AccessForm {
	const { rules, ...beside } = p;
	const choice = choiceOf(rules);
	const some = choice === 'some' ? rules[0]!.allow : {};
	return { choice, people: [...(some.people ?? [])], groups: [...(some.groups ?? [])], rules: rules.map(newRule), beside };
}

/** Which of the few choices a list of rules is. */
export function choiceOf(rules: PolicyRule[]): Choice {
	const [only, ...more] = rules;
	if (!only) return 'nobody';
	const said = JSON.stringify(ruleOf(newRule(only), '', []));
	const same = (allow: PolicyRule['allow']) => said === JSON.stringify({ allow });
	if (more.length) return 'rules';
	if (same({ public: true })) return 'public';
	if (same({ signed_in: true })) return 'signed_in';
	if (same({ administrators: true })) return 'administrators';
	const { people, groups } = only.allow;
	if ((people?.length || groups?.length) && same({ ...(people?.length && { people }), ...(groups?.length && { groups }) })) return 'some';
	return 'rules';
}

/** The rules that a choice stands for, to begin a list with. */
export function rulesOf(f: AccessForm): PolicyRule[] {
	switch (f.choice) {
		case 'public':
			return [{ allow: { public: true } }];
		case 'signed_in':
			return [{ allow: { signed_in: true } }];
		case 'administrators':
			return [{ allow: { administrators: true } }];
		case 'some':
			return [{ allow: { ...(f.people.length && { people: f.people }), ...(f.groups.length && { groups: f.groups }) } }];
		case 'nobody':
			return [];
		case 'rules':
			return f.rules.map((r) => ruleOf(r, '', []));
	}
}

function ruleOf(r: RuleForm, at: string, errors: FieldError[]): PolicyRule {
	const within = r.within.replace(/\s+/g, '').toLowerCase();
	if (within && !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(within)) errors.push({ location: `${at}.within`, message: 'This is a duration, such as 5m or 12h.' });
	return {
		...(r.methods.length && { methods: r.methods }),
		...(r.paths.length && { paths: r.paths }),
		...(r.networks.length && { networks: r.networks }),
		allow: {
			...(r.public && { public: true }),
			...(r.signedIn && { signed_in: true }),
			...(r.administrators && { administrators: true }),
			...(r.people.length && { people: r.people }),
			...(r.groups.length && { groups: r.groups }),
			...(r.claims.length && { claims: r.claims.map((c) => ({ name: c.name.trim(), operator: c.operator, ...(c.operator !== 'exists' && { value: c.value }), ...(c.provider && { provider: c.provider }) })) })
		},
		...(r.strength && { strength: r.strength }),
		...(within && { within }),
		...(r.apiTokens && { api_tokens: true }),
		...(r.issuers.length && { jwts: r.issuers.map((j) => ({ issuer: j.issuer.trim(), audience: j.audience.trim() })) })
	} as PolicyRule;
}

/** The policy, and what is wrong with it before a server is asked. */
export function toPolicy(f: AccessForm, at: string): { policy: Policy; errors: FieldError[] } {
	const errors: FieldError[] = [];
	if (f.choice === 'some' && !f.people.length && !f.groups.length) errors.push({ location: `${at}.some`, message: 'Name somebody, or a group.' });
	const rules = f.choice === 'rules' ? f.rules.map((r, i) => ruleOf(r, `${at}.rules.${i}`, errors)) : rulesOf(f);
	return { policy: { ...f.beside, rules }, errors };
}

export const isPublic = (p: Policy | undefined) => !!p?.rules.some((r) => r.allow.public);

/** Who may enter, in a few words. */
export function whoEnters(p: Policy | undefined): string {
	const rules = (p ?? signedIn).rules;
	switch (choiceOf(rules)) {
		case 'public':
			return 'Everybody';
		case 'signed_in':
			return 'Who has signed in';
		case 'administrators':
			return 'Administrators';
		case 'nobody':
			return 'Nobody';
		case 'some': {
			const names = [...(rules[0]!.allow.people ?? []), ...(rules[0]!.allow.groups ?? [])];
			return names.length > 3 ? `${names.slice(0, 2).join(', ')} and ${names.length - 2} more` : names.join(', ');
		}
		case 'rules':
			return `${isPublic(p) ? 'In part everybody, by ' : 'By '}${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}`;
	}
}

/** A rule in one line. */
export function ruleInWords(r: PolicyRule): string {
	const who = [
		r.allow.public && 'everybody',
		r.allow.signed_in && 'who has signed in',
		r.allow.administrators && 'administrators',
		...(r.allow.people ?? []),
		...(r.allow.groups ?? []).map((g) => `group ${g}`),
		(r.allow.claims ?? []).map((c) => `${c.name}${c.provider ? ` at ${c.provider}` : ''} ${c.operator} ${c.value ?? ''}`.trim()).join(' and '),
		...(r.jwts ?? []).map((j) => `tokens of ${j.issuer}`)
	].filter(Boolean);
	const where = [...(r.methods ?? []), ...(r.paths ?? []), ...(r.networks ?? []).map((n) => `from ${n}`)];
	return `${where.join(' ') || 'Every request'}: ${who.join(', ') || 'nobody'}`;
}

/** Why somebody is let in or not, with what the rule asks for. */
export function verdictInWords(v: AccessVerdict, rules: PolicyRule[]): string {
	const rule = rules[v.rule - 1];
	if (v.allowed && rule) {
		const asks = [rule.strength && { second_factor: 'with a second factor', passkey: 'with a passkey' }[rule.strength], rule.within && rule.within !== '0s' && `of the last ${shortDuration(rule.within)}`].filter(Boolean);
		if (asks.length) return asks.join(' ');
		return rules.length > 1 ? `by rule ${v.rule}` : '';
	}
	return v.rule && rules.length > 1 ? `rule ${v.rule}: ${v.why.replace(/^the rule /, '')}` : v.why;
}
