import type { Person } from './api/types';

/** The roles as forms offer them, the one that may least first. */
export const roles: { value: Person['role']; label: string }[] = [
	{ value: 'user', label: 'User: enters apps' },
	{ value: 'member', label: 'Member: runs apps too' },
	{ value: 'administrator', label: 'Administrator' }
];

/** The same in a sentence. */
export const roleInWords: Record<Person['role'], string> = { user: 'a user', member: 'a member', administrator: 'an administrator' };
