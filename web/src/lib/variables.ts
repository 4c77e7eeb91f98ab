import type { StageSpec } from './api/types';

/** What saving would do to one variable. */
export interface VariableChange {
	name: string;
	change: 'added' | 'changed' | 'removed';
	from: string;
	to: string;
}

type Variables = Pick<StageSpec, 'env' | 'secrets'>;

/** Each variable as a text: its value, or which secret it takes. */
export function variablesOf(spec: Variables): Map<string, string> {
	const all = new Map(Object.entries(spec.env ?? {}));
	for (const [name, ref] of Object.entries(spec.secrets ?? {})) all.set(name, `secret ${ref.context}/${ref.name}`);
	return all;
}

/** The variables that differ, by name. */
export function variableChanges(before: Variables, after: Variables): VariableChange[] {
	const from = variablesOf(before);
	const to = variablesOf(after);
	return [...new Set([...from.keys(), ...to.keys()])]
		.sort()
		.filter((name) => from.get(name) !== to.get(name))
		.map((name) => ({
			name,
			change: !from.has(name) ? 'added' : !to.has(name) ? 'removed' : 'changed',
			from: from.get(name) ?? '',
			to: to.get(name) ?? ''
		}));
}
