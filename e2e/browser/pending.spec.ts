import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('what is saved is pending until it is deployed, and stages are compared', async ({ dashboard: page }, info) => {
	const project = unique(info, 'pending');
	const stage = await makeStage(page, project, { env: { GREETING: 'ahoy', OLD: '1', STAYS: 'as it is' } });
	const slot = `/api/secrets/${project}/DB_URL`;
	try {
		expect((await page.request.put(slot, { data: { value: 'never to be seen' } })).ok()).toBe(true);
		await stage.live('1');
		await page.goto(`${stage.path}/settings`);
		await page.getByLabel('Value of GREETING').fill('good day');
		await page.getByRole('button', { name: 'Remove OLD' }).click();
		await page.getByRole('button', { name: 'Add variable' }).click();
		await page.getByLabel('Name of variable 3').fill('DB');
		await page.getByLabel('Kind of variable 3').selectOption('secret');
		await page.getByLabel('Secret for DB').selectOption(`${project} / DB_URL`);
		await page.getByRole('button', { name: 'Save', exact: true }).click();

		// Saved is not deployed: what is pending is named.
		const pending = page.getByTestId('pending');
		await expect(pending).toContainText('3 changes pending');
		for (const name of ['GREETING', 'OLD', 'DB']) await expect(pending).toContainText(name);
		await expect(pending).not.toContainText('STAYS');
		await sound(page);
		await picture(page, info, 'variables-pending');
		await pending.getByRole('button', { name: 'Deploy these settings' }).click();
		await page.waitForURL('**/deployments/*');
		await expect(page.getByText('Live', { exact: true }).first()).toBeVisible({ timeout: 60_000 });
		await page.goto(stage.path);
		await expect(page.getByRole('heading', { name: 'Instances' })).toBeVisible();
		await expect(pending).toBeHidden();

		// Beside another stage.
		const dev = { hostname: `dev-${project}.localhost`, access: { rules: [{ allow: { public: true } }] }, tags: { kind: 'none' }, port: 8080, probe: { path: '/health' }, env: { GREETING: 'moin', STAYS: 'as it is', DB: 'sqlite:dev.db' }, replicas: 2 };
		expect((await page.request.post(`/api/projects/${project}/stages`, { data: { name: 'dev', spec: dev } })).ok()).toBe(true);
		await page.goto(`/projects/${project}`);
		await page.getByRole('link', { name: 'Compare' }).click();
		const compared = page.getByTestId('compared');
		await expect(compared.getByRole('listitem').filter({ hasText: 'GREETING' })).toContainText('moin');
		await expect(compared.getByRole('listitem').filter({ hasText: /^\s*DB/ })).toContainText(`${project} / DB_URL`);
		await expect(compared).toContainText('Replicas');
		await expect(compared).not.toContainText('STAYS');
		await expect(compared).not.toContainText('never to be seen');
		await sound(page);
		await picture(page, info, 'compare');
		await page.getByLabel('Also what they have in common').check();
		await expect(compared.getByRole('listitem').filter({ hasText: 'STAYS' })).toHaveCount(1);
	} finally {
		await stage.remove();
		await page.request.delete(slot);
	}
});

test('a redeploy that failed is tried again with the image that is live, not with what its tag says', async ({ dashboard: page }, info) => {
	const project = unique(info, 'anew');
	const stage = await makeStage(page, project);
	const api = `/api/projects/${project}/stages/prod`;
	const save = async (env: object) => {
		const { version, spec } = await (await page.request.get(api)).json();
		expect((await page.request.put(api, { data: { version, spec: { ...spec, env } } })).status()).toBe(200);
	};
	try {
		await stage.live('1');
		await save({ APP_CRASH: 'no database' });
		await page.goto(stage.path);
		await page.getByRole('button', { name: 'Redeploy', exact: true }).click();
		await page.waitForURL('**/deployments/*');
		await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible({ timeout: 60_000 });
		await save({});
		await page.getByRole('button', { name: 'Try again' }).click();
		await expect(page.locator('main header').first().locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
		await expect(page.getByRole('heading', { level: 1, name: 'Redeploy 1' })).toBeVisible();
		await expect(page.getByRole('button', { name: 'Redeploy again' })).toBeVisible();
	} finally {
		await stage.remove();
	}
});
