import { ApiError } from '$lib/api/client';

/** What waits for somebody to prove again who they are. */
class Proving {
	open = $state(false);
	#answer: ((proved: boolean) => void) | undefined;

	/** Does something, and where the server wants to know again who it is, asks and does it once more. Undefined when they would not say. */
	async through<T>(act: () => Promise<T>): Promise<T | undefined> {
		try {
			return await act();
		} catch (e) {
			if (!(e instanceof ApiError) || e.code !== 'step_up') throw e;
		}
		this.open = true;
		const proved = await new Promise<boolean>((answer) => (this.#answer = answer));
		return proved ? act() : undefined;
	}

	proved() {
		this.#settle(true);
	}

	giveUp() {
		this.#settle(false);
	}

	#settle(proved: boolean) {
		this.open = false;
		this.#answer?.(proved);
		this.#answer = undefined;
	}
}

export const proving = new Proving();
