/** The one way to Berth's API: typed by docs/openapi.json, with faults as errors. */
import createClient, { type Middleware } from 'openapi-fetch';
import type { paths } from './schema';

export interface FieldError {
	/** Where, as the API spells it: "spec.probe.path". */
	location: string;
	message: string;
}

interface Problem {
	title?: string;
	detail?: string;
	code?: string;
	errors?: { location?: string; message?: string }[] | null;
	unmeant?: boolean;
}

/** An answer that is not what was asked for. Its message is for a person. */
export class ApiError extends Error {
	readonly fields: FieldError[];
	/** What is wrong, for a program: "conflict". */
	readonly code: string;
	/** Done all the same with force, by who means it. */
	readonly unmeant: boolean;
	constructor(
		readonly status: number,
		problem?: Problem
	) {
		super(problem?.detail || problem?.title || `The server answered ${status}.`);
		this.code = problem?.code ?? '';
		this.unmeant = problem?.unmeant ?? false;
		this.fields = (problem?.errors ?? []).map((e) => ({
			location: (e.location ?? '').replace(/^body\./, ''),
			message: e.message ?? ''
		}));
	}
	get notFound() {
		return this.status === 404;
	}
	get notAllowed() {
		return this.status === 403;
	}
	get conflict() {
		return this.status === 409;
	}
}

let signedOut: () => void = () => {};

/** Says what to do when a session is no longer good. */
export function onSignedOut(f: () => void) {
	signedOut = f;
}

const session: Middleware = {
	onRequest({ request }) {
		// A header that no form can send: a second lock beside the origin check.
		if (request.method !== 'GET') request.headers.set('X-Requested-With', 'berth');
		return request;
	},
	onResponse({ response, schemaPath }) {
		if (response.status === 401 && !schemaPath.startsWith('/api/session') && schemaPath !== '/api/setup') signedOut();
	}
};

export const api = createClient<paths>({ baseUrl: '/' });
api.use(session);

type Answer<T> = Promise<{ data?: T; error?: unknown; response: Response }>;

async function settle<T>(p: Answer<T>): Promise<{ data?: T; error?: unknown; response: Response }> {
	try {
		return await p;
	} catch (e) {
		if (e instanceof DOMException && e.name === 'AbortError') throw e;
		throw new ApiError(0, { detail: 'Berth can’t be reached. Is the server running?' });
	}
}

/** The value that was asked for, or an ApiError. */
export async function must<T>(p: Answer<T>): Promise<T> {
	const { data, error, response } = await settle(p);
	if (!response.ok || data === undefined) throw new ApiError(response.status, error as Problem | undefined);
	return data;
}

/** For answers without a body. */
export async function done(p: Answer<unknown>): Promise<void> {
	const { error, response } = await settle(p);
	if (!response.ok) throw new ApiError(response.status, error as Problem | undefined);
}

export function messageOf(e: unknown): string {
	return e instanceof Error ? e.message : String(e);
}

export function fieldsOf(e: unknown): FieldError[] {
	return e instanceof ApiError ? e.fields : [];
}
