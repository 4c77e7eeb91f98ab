import type { components } from './api/schema';

export type Administrators = components['schemas']['Administrators'];
type State = components['schemas']['AdminEntry']['state'];

/** What became of an entry of the list of those who administer. */
export const adminWords: Record<State, string> = {
	administers: 'administers',
	waits: 'waits for them to sign in',
	unclear: 'fits several, and so nobody',
	other: 'has another name now, or is gone',
	no_provider: 'no such provider'
};
