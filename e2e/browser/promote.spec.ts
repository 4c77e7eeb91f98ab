import type { APIRequestContext, Page } from '@playwright/test';
import { expect, image, picture, sound, test, unique } from './berth.ts';

/** Asks the API for something that must be given. */
async function ask(request: APIRequestContext, method: 'get' | 'post' | 'put' | 'delete', path: string, data?: unknown) {
	const answer = await request[method](path, data === undefined ? {} : { data });
	expect(answer.ok(), `${method} ${path}: ${await answer.text()}`).toBe(true);
	return answer.status() === 204 ? undefined : answer.json();
}

/** Deploys a tag to staging and waits until it is live. */
async function stage(request: APIRequestContext, stages: string, tag: string) {
	const { id } = await ask(request, 'post', `${stages}/staging/deployments`, { reference: tag });
	await expect.poll(async () => (await ask(request, 'get', `/api/deployments/${id}`)).state, { timeout: 60_000 }).toBe('live');
}

test('promote from staging to prod: what changes, what moved meanwhile, who approves', async ({ dashboard: page, playwright, baseURL }, info) => {
	const project = unique(info, 'promo');
	const stages = `/api/projects/${project}/stages`;
	const times = { drain_timeout: '1s', stream_drain_timeout: '1s', stop_timeout: '2s', tags: { kind: 'none' }, access: { rules: [{ allow: { public: true } }] } };
	await ask(page.request, 'post', '/api/projects', { name: project, image });
	await ask(page.request, 'post', stages, { name: 'staging', spec: { ...times, hostname: `${project}-staging.localhost`, env: { LOG_LEVEL: 'debug', TRACE: '1', REGION: 'eu' } } });
	await ask(page.request, 'post', stages, { name: 'prod', spec: { ...times, hostname: `${project}.localhost`, env: { LOG_LEVEL: 'warn', REGION: 'eu' } } });
	const header = page.locator('main header').first();
	const stagePage = `/projects/${project}/stages/prod`;
	const dialog = page.getByRole('alertdialog');

	await test.step('see which tags a rule takes, and the newest', async () => {
		await page.goto(`${stagePage}/settings`);
		const takes = page.getByLabel('Deploys by itself');
		await takes.selectOption('regexp');
		await page.getByLabel('Expression').fill('[0-9');
		await expect(page.locator('[data-field-error]').first()).toContainText('regular expression');
		await page.getByLabel('Expression').fill('[0-9]');
		await expect(page.getByTestId('matching-tags').locator('li')).toHaveCount(2);
		await expect(page.getByTestId('matching-tags').locator('[data-newest]')).toHaveCount(1);
		await page.getByLabel('Ask before a match deploys').check();
		await sound(page);
		await picture(page, info, 'tag-rule');
	});

	await test.step('have prod promote from staging', async () => {
		await page.getByLabel('Deploys by itself').selectOption('promote');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(page.locator('[data-field-error]').first()).toContainText('Choose the stage');
		await page.getByLabel('Promotes from').selectOption('staging');
		await expect(page.locator('[data-field-error]')).toHaveCount(0);
		await sound(page);
		await picture(page, info, 'promote-form');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(page.getByText('Nothing was promoted to prod yet')).toBeVisible();
		await expect(page.getByRole('button', { name: 'Deploy', exact: true })).toHaveCount(0);
	});

	await test.step('nothing is live in staging yet', async () => {
		await page.getByRole('button', { name: 'Promote', exact: true }).click();
		await expect(dialog).toContainText('nothing is live');
		await expect(dialog.getByRole('button', { name: 'Promote' })).toBeDisabled();
		await sound(page);
		await dialog.getByRole('button', { name: 'Cancel' }).click();
		await stage(page.request, stages, '1');
	});

	await test.step('read what changes, while somebody deploys to staging', async () => {
		await page.getByRole('button', { name: 'Promote', exact: true }).click();
		await expect(dialog.getByRole('heading', { name: 'Promote 1 to prod?' })).toBeVisible();
		await expect(dialog.getByTestId('changes')).toContainText(`${image}:1`);
		const differs = dialog.getByTestId('differs');
		await expect(differs.locator('li')).toHaveCount(2);
		await expect(differs).toContainText('Variable LOG_LEVEL');
		await expect(differs).toContainText('warn');
		await expect(differs).not.toContainText('REGION');
		await sound(page);
		await picture(page, info, 'promote-dialog');
		await stage(page.request, stages, '2');
		await dialog.getByRole('button', { name: 'Promote 1' }).click();
		await expect(dialog.getByTestId('moved')).toContainText('staging has moved on from 1');
		await expect(dialog.getByTestId('moved')).toContainText('Nothing was promoted');
		await expect(dialog.getByRole('heading', { name: 'Promote 2 to prod?' })).toBeVisible();
		await expect(dialog.getByTestId('changes')).toContainText(`${image}:2`);
		await sound(page);
		await picture(page, info, 'promote-moved');
		expect((await ask(page.request, 'get', `/api/deployments?project=${project}&stage=prod`)).items).toEqual([]);
	});

	await test.step('promote what is live now', async () => {
		await dialog.getByRole('button', { name: 'Promote 2' }).click();
		await expect(page.getByRole('heading', { level: 1, name: 'Promote 2' })).toBeVisible();
		await expect(header).toContainText('from staging');
		await expect(header.locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
	});

	await test.step('another person has to approve', async () => {
		const { version, spec } = await ask(page.request, 'get', `${stages}/prod`);
		await ask(page.request, 'put', `${stages}/prod`, { version, spec: { ...spec, promote_approval: true } });
		await stage(page.request, stages, '1');
		await page.goto(stagePage);
		await page.getByRole('button', { name: 'Promote', exact: true }).click();
		await expect(dialog).toContainText('held until another person approves it');
		await dialog.getByRole('button', { name: 'Promote 1' }).click();
		await expect(page.getByTestId('held')).toContainText('You asked for it, so another person has to approve it');
		await expect(page.getByTestId('held').getByRole('button', { name: 'Approve' })).toHaveCount(0);
		await expect(header.locator('[data-status=held]')).toBeVisible();
		await sound(page);
		await picture(page, info, 'held');
		await page.goto('/');
		await expect(page.getByTestId('project-card').filter({ hasText: project }).getByTestId('card-held')).toContainText('1 waits for approval');
		await sound(page);
	});

	await test.step('who comes and does', async () => {
		const name = unique(info, 'second');
		const password = 'correct horse battery staple';
		await ask(page.request, 'post', '/api/people', { username: name, password, role: 'member' });
		const other: Page = await page.context().newPage();
		const theirs = await playwright.request.newContext({ baseURL: baseURL! });
		await ask(theirs, 'post', '/api/session', { username: name, password });
		const mine = await page.context().cookies();
		await page.context().addCookies((await theirs.storageState()).cookies);
		await other.goto(stagePage);
		await expect(other.getByTestId('held')).toContainText('Promote 1 waits for approval');
		await sound(other);
		await picture(other, info, 'approval');
		await other.getByRole('button', { name: 'Approve Promote 1' }).click();
		await expect(other.getByRole('heading', { level: 1, name: 'Promote 1' })).toBeVisible();
		await expect(other.locator('main header').first()).toContainText(`approved by ${name}`);
		await expect(other.locator('main header').first().locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
		await other.goto(`/activity?project=${project}`);
		await expect(other.getByTestId('activity')).toContainText('approved 1 for');
		await other.close();
		await theirs.dispose();
		await page.context().clearCookies();
		await page.context().addCookies(mine);
		await ask(page.request, 'delete', `/api/people/${name}`);
	});

	await ask(page.request, 'delete', `/api/projects/${project}`);
});
