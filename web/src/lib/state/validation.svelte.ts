import { untrack } from 'svelte';
import { api, fieldsOf, must, type FieldError } from '$lib/api/client';
import type { StageTag } from '$lib/api/types';
import { canonical, fieldError } from '$lib/fields';
import { toSpec, type StageForm } from '$lib/stageform';

/** Asks the server what it would say of a form, a moment after each change. */
export class Validation {
	errors = $state.raw<FieldError[]>([]);
	tags = $state.raw<StageTag[]>();
	/** Why another registry's tags could not be listed. */
	tagsError = $state('');

	#ticket = 0;

	/** To be called while a component is set up. stage is empty for one that is not there yet. */
	constructor(form: () => StageForm, project: string, stage: string) {
		$effect(() => {
			const { spec, errors } = toSpec(form());
			const ticket = ++this.#ticket;
			const timer = setTimeout(() => void this.#ask(ticket, spec, errors, project, stage), untrack(() => this.tags) ? 350 : 0);
			return () => clearTimeout(timer);
		});
	}

	async #ask(ticket: number, spec: ReturnType<typeof toSpec>['spec'], local: FieldError[], project: string, stage: string) {
		try {
			const answer = await must(api.POST('/api/validate/stage', { body: { project, spec, ...(stage && { stage }) } }));
			if (ticket !== this.#ticket) return;
			this.errors = merge(local, answer.errors);
			this.tags = answer.tags;
			this.tagsError = answer.tags_error ?? '';
		} catch (e) {
			// Saving says the same, and loudly; typing is not the moment.
			if (ticket === this.#ticket) this.errors = merge(local, fieldsOf(e));
		}
	}

	/** What saving said. */
	refuse(errors: FieldError[]) {
		this.errors = errors.map((e) => ({ ...e, location: canonical(e.location) }));
	}

	readonly error = (path: string): string | undefined => fieldError(this.errors, path);

	readonly wrong = (...prefixes: string[]): boolean => this.errors.some((e) => prefixes.some((p) => canonical(e.location).startsWith(p)));
}

/** What is wrong here goes before what the server says of the same field. */
function merge(local: FieldError[], remote: FieldError[]): FieldError[] {
	const here = new Set(local.map((e) => canonical(e.location)));
	return [...local, ...remote.filter((e) => !here.has(canonical(e.location)))];
}
