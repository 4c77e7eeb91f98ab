import type { StageSpec } from './api/types';
import { fieldWords } from './words';

/** What one stage has for a field; undefined when it does not set it. */
export type Cell = { text: string; secret: boolean } | undefined;

/** One field of several stages. */
export interface Line {
	field: string;
	words: string;
	cells: Cell[];
	same: boolean;
}

/** The variables of stages, and their other settings, side by side. A secret is told by its slot. */
export function lineUp(specs: StageSpec[]): { variables: Line[]; settings: Line[] } {
	return {
		variables: lines(specs.map(variables), (name) => name),
		settings: lines(specs.map(settings), fieldWords)
	};
}

function lines(columns: Map<string, NonNullable<Cell>>[], words: (field: string) => string): Line[] {
	return [...new Set(columns.flatMap((c) => [...c.keys()]))].sort().map((field) => {
		const cells = columns.map((c) => c.get(field));
		const [first] = cells;
		return { field, words: words(field), cells, same: cells.every((c) => !!c && !!first && c.text === first.text && c.secret === first.secret) };
	});
}

function variables(spec: StageSpec) {
	const all = new Map<string, NonNullable<Cell>>();
	for (const [name, text] of Object.entries(spec.env ?? {})) all.set(name, { text, secret: false });
	for (const [name, ref] of Object.entries(spec.secrets ?? {})) all.set(name, { text: `${ref.context} / ${ref.name}`, secret: true });
	return all;
}

function settings(spec: StageSpec) {
	const { env: _env, secrets: _secrets, ...rest } = spec;
	const flat = new Map<string, NonNullable<Cell>>();
	flatten(rest, 'spec', flat);
	return flat;
}

/** One text for each path. What has a name, as volumes and jobs, is told by it, wherever it stands in its list. */
function flatten(value: unknown, path: string, flat: Map<string, NonNullable<Cell>>) {
	if (Array.isArray(value)) {
		if (value.every((inner) => typeof inner !== 'object')) {
			if (value.length) flat.set(path, { text: value.map((part) => (/^[^\s"']+$/.test(String(part)) ? String(part) : JSON.stringify(part))).join(' '), secret: false });
		} else value.forEach((inner, i) => flatten(inner, `${path}.${nameOf(inner) ?? i + 1}`, flat));
	} else if (value && typeof value === 'object') {
		for (const [name, inner] of Object.entries(value)) flatten(inner, `${path}.${name}`, flat);
	} else if (value !== undefined && value !== null) flat.set(path, { text: String(value), secret: false });
}

function nameOf(value: object): string | undefined {
	if ('name' in value) return String(value.name);
	return 'path' in value ? String(value.path) : undefined;
}
