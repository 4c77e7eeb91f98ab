import { ApiError, api, done, must } from '$lib/api/client';
import type { Entry, Person } from '$lib/api/types';

/** Who is signed in here. */
class Session {
	person = $state.raw<Person>();

	get administrator(): boolean {
		return this.person?.role === 'administrator';
	}

	/** Asks the server; undefined when nobody is signed in. */
	async load(): Promise<Person | undefined> {
		try {
			this.person = (await must(api.GET('/api/session'))).person;
		} catch (e) {
			if (!(e instanceof ApiError) || e.status !== 401) throw e;
			this.person = undefined;
		}
		return this.person;
	}

	/** Takes what came of a sign-in: somebody, or nobody yet. */
	enter(came: Entry): Entry {
		this.person = came.person;
		return came;
	}

	async signOut(): Promise<void> {
		await done(api.DELETE('/api/session'));
		this.person = undefined;
	}
}

export const session = new Session();

/** Where to go after signing in: only a path of this dashboard, never another site. */
export function safeNext(next: string | null): string {
	return next && /^\/(?![/\\])/.test(next) && !next.startsWith('/sign-in') ? next : '/';
}
