import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { compileModule } from 'svelte/compiler';
import ts from 'typescript';

const lib = new URL('../src/lib/', import.meta.url);

export async function resolve(specifier, context, next) {
	const path = specifier.startsWith('$lib/') ? new URL(specifier.slice(5), lib).href : specifier;
	if (/^(\.|file:)/.test(path) && (!/\.\w+$/.test(path) || (path.endsWith('.svelte') && existsSync(new URL(`${path}.ts`, context.parentURL))))) {
		return next(`${path}.ts`, context);
	}
	return next(path, context);
}

export async function load(url, context, next) {
	if (url.endsWith('.svelte')) return { format: 'module', source: 'export default null', shortCircuit: true }; // nothing is drawn here
	if (!url.endsWith('.ts')) return next(url, context);
	const { outputText } = ts.transpileModule(await readFile(new URL(url), 'utf8'), {
		compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
	});
	const source = url.endsWith('.svelte.ts') ? compileModule(outputText, { filename: url, generate: 'server' }).js.code : outputText;
	return { format: 'module', source, shortCircuit: true };
}
