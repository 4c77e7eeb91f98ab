import type { Change } from './api/types';

/** What differs between two values of the API, a change for each path, as the server says it of a release. */
export function differences(from: object, to: object, path = ''): Change[] {
	const before = flatten(from, path);
	const after = flatten(to, path);
	return [...new Set([...before.keys(), ...after.keys()])]
		.sort()
		.map((field) => ({ field, from: before.get(field) ?? '', to: after.get(field) ?? '' }))
		.filter((c) => c.from !== c.to);
}

/** One text for each path. */
function flatten(value: unknown, path: string, flat = new Map<string, string>()): Map<string, string> {
	if (Array.isArray(value)) value.forEach((inner, i) => flatten(inner, `${path}[${i}]`, flat));
	else if (/^spec\.secrets\.[^.]+$/.test(path)) flat.set(path, slotOf(value)); // one secret, one change
	else if (value && typeof value === 'object') for (const [name, inner] of Object.entries(value)) flatten(inner, path ? `${path}.${name}` : name, flat);
	else if (value !== undefined && value !== null) flat.set(path, String(value));
	return flat;
}

function slotOf(ref: unknown): string {
	const { context, name } = ref as { context: string; name: string };
	return `${context}/${name}`;
}
