import { ApiError, api, done, must } from '$lib/api/client';
import type { Entry, Person } from '$lib/api/types';

/** Who is signed in here. */
class Session {
	person = $state.raw<Person>();
	/** Where the session began: "local", or a provider. */
	provider = $state('local');
	/** Whether a password of theirs signs in, by the sign-in mode. */
	takesPassword = $state(true);
	/** Whom to ask about what one may not. */
	contact = $state('');

	get administrator(): boolean {
		return this.person?.role === 'administrator';
	}

	/** Whether they only enter apps, and see nothing else of Berth. */
	get user(): boolean {
		return this.person?.role === 'user';
	}

	/** Asks the server; undefined when nobody is signed in. */
	async load(): Promise<Person | undefined> {
		try {
			const found = await must(api.GET('/api/session'));
			this.person = found.person;
			this.provider = found.provider || 'local';
			this.contact = found.contact;
			this.takesPassword = found.takes_password;
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

	/** Signs out, and says where to go: by way of the provider when the session began there. */
	async signOut(): Promise<string> {
		const from = this.provider;
		await done(api.DELETE('/api/session'));
		this.person = undefined;
		this.provider = 'local';
		return from === 'local' ? signedOut : `/auth/${from}/sign-out`;
	}
}

export const session = new Session();

/** The sign-in page after a sign-out: it leads straight to no provider then, who would sign the same person in again. */
export const signedOut = '/sign-in?state=signed_out';

/** Where to go after signing in: only a path of this dashboard, never another site. */
export function safeNext(next: string | null): string {
	return next && /^\/(?![/\\])/.test(next) && !next.startsWith('/sign-in') ? next : '/';
}
