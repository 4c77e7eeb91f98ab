import type { APIRequestContext } from '@playwright/test';
import { expect, image } from './berth.ts';

/** Asks the API for something that must be given. */
export async function ask(request: APIRequestContext, method: 'get' | 'post' | 'put' | 'delete', path: string, data?: unknown) {
	const answer = await request[method](path, data === undefined ? {} : { data });
	expect(answer.ok(), `${method} ${path}: ${await answer.text()}`).toBe(true);
	return answer.status() === 204 ? undefined : answer.json();
}

/** A project whose staging knows other variables than its prod. */
export async function stagingAndProd(request: APIRequestContext, project: string, prod: object) {
	const stages = `/api/projects/${project}/stages`;
	const spec = { drain_timeout: '1s', stream_drain_timeout: '1s', stop_timeout: '2s', tags: { kind: 'none' }, access: { rules: [{ allow: { public: true } }] } };
	await ask(request, 'post', '/api/projects', { name: project, image });
	await ask(request, 'post', stages, { name: 'staging', spec: { ...spec, hostname: `${project}-staging.localhost`, env: { LOG_LEVEL: 'debug', TRACE: '1', REGION: 'eu' } } });
	await ask(request, 'post', stages, { name: 'prod', spec: { ...spec, hostname: `${project}.localhost`, env: { LOG_LEVEL: 'warn', REGION: 'eu' }, ...prod } });
	return {
		api: stages,
		/** Deploys a tag to staging and waits until it is live. */
		async staging(tag: string) {
			const { id } = await ask(request, 'post', `${stages}/staging/deployments`, { reference: tag });
			await expect.poll(async () => (await ask(request, 'get', `/api/deployments/${id}`)).state, { timeout: 60_000 }).toBe('live');
		},
		remove: () => ask(request, 'delete', `/api/projects/${project}`)
	};
}
