import type { FieldError } from './api/client';

/** One spelling for paths into the input: "spec.volumes[0].path" and "body.spec.volumes.0.path" are one. */
export function canonical(location: string): string {
	return location.replace(/^body\./, '').replace(/\[(\w+)\]/g, '.$1');
}

/** What is wrong with the field at path, or anything below it. */
export function fieldError(errors: FieldError[], path: string): string | undefined {
	const found = errors.find((e) => canonical(e.location) === path) ?? errors.find((e) => canonical(e.location).startsWith(`${path}.`));
	return found?.message;
}
