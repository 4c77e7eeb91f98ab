import type { components } from './api/schema';

export type Provider = components['schemas']['ProviderDetail'];
export type PresetInfo = components['schemas']['PresetInfo'];
export type SignInPage = components['schemas']['SignInPage'];
export type SignInMode = components['schemas']['SignInMode'];
export type Trial = components['schemas']['Trial'];
export type LeftOut = components['schemas']['LeftOut'];
export type Identity = components['schemas']['IdentityInfo'];

/** Why nobody came in, by the word that is in the address. */
const problems: Record<string, string> = {
	expired: 'This sign-in was not begun in this browser, was used already, or took too long. Begin again.',
	off: 'This provider is switched off.',
	changed: 'The provider was changed meanwhile. Begin again.',
	away: 'The provider does not answer. Try again later.',
	cancelled: 'You cancelled the sign-in.',
	declined: 'The provider declined the sign-in.',
	mix_up: 'Another provider answered than was asked. Nobody was signed in.',
	invalid: 'What the provider answered does not prove who you are. Nobody was signed in.',
	domain: 'Only verified e-mail addresses of certain domains may come in.',
	group: 'Only members of certain groups may come in.',
	unknown: 'Berth does not know you yet. Ask an administrator to let you in, or sign in and link this provider to your account.',
	not_set_up: 'Berth is not set up yet. Its first administrator is made with the link that Berth printed at its start.',
	disabled: 'Your account is disabled. Ask an administrator.',
	taken: 'This identity is somebody else’s already.',
	other: 'Somebody else is signed in by now. Begin again.',
	stale: 'The provider did not ask you to sign in anew. Sign out there first, and try again.',
	another: 'Somebody else signed in at the provider than is signed in here. Nothing came of it.',
	weaker: 'The provider did not say that it asked for a second factor.',
	busy: 'Too many sign-ins at a time. Wait a moment and try again.'
};

/** A sentence for a problem; '' when there is none. */
export const problemWords = (problem: string | null | undefined): string => (problem ? (problems[problem] ?? 'Signing in did not work. Try again.') : '');

/** A list as people type it: with commas or line breaks between. */
export const listOf = (text: string): string[] =>
	text
		.split(/[,\n]/)
		.map((part) => part.trim())
		.filter(Boolean);
