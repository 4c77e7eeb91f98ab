import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('variables are edited as a table and as text, told before they are saved, pending until deployed, and compared', async ({ dashboard: page }, info) => {
	test.slow();
	const project = unique(info, 'vars');
	const stage = await makeStage(page, project, { env: { GREETING: 'ahoy', OLD: '1', STAYS: 'as it is' } });
	const slot = `/api/secrets/${project}/DB_URL`;
	try {
		expect((await page.request.put(slot, { data: { value: 'never to be seen' } })).ok()).toBe(true);
		await stage.live('1');
		await page.goto(`${stage.path}/settings`);
		const changes = page.getByTestId('variable-changes');
		const rows = page.getByTestId('variables').getByRole('listitem');
		await expect(rows).toHaveCount(3);
		await expect(changes).toBeHidden();

		// The table: one changed, one removed, a secret added.
		await page.getByLabel('Value of GREETING').fill('hello');
		await page.getByRole('button', { name: 'Remove OLD' }).click();
		await page.getByRole('button', { name: 'Add variable' }).click();
		await page.getByLabel('Name of variable 3').fill('DB');
		await page.getByLabel('Kind of variable 3').selectOption('secret');
		await page.getByLabel('Secret for DB').selectOption(`${project} / DB_URL`);
		await expect(changes).toContainText('1 added, 1 changed, 1 removed');
		await expect(changes.getByRole('listitem').filter({ hasText: 'GREETING' })).toContainText(/ahoy\s*hello/);
		await expect(changes).not.toContainText('STAYS');
		await sound(page);
		await picture(page, info, 'variables-table');

		// As text: what is wrong is told by its line, and is not saved.
		await page.getByRole('button', { name: 'As text' }).click();
		const text = page.getByLabel('Variables as the text of a .env file');
		await expect(text).toHaveValue(/^GREETING=hello$/m);
		await expect(text, 'a secret is no text').not.toHaveValue(/DB/);
		await text.fill('# what it says\nGREETING="good day"\nSTAYS="as it is"\nno name here\nMORE=\'two\nlines\'\n');
		await expect(page.getByTestId('env-text-errors')).toContainText('Line 4');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(page.getByText('One field needs a look')).toBeVisible();
		expect((await stage.spec()).env, 'nothing was saved').toEqual({ GREETING: 'ahoy', OLD: '1', STAYS: 'as it is' });
		await sound(page);
		await picture(page, info, 'variables-text');
		await text.fill((await text.inputValue()).replace('no name here\n', ''));
		await expect(page.getByTestId('env-text-errors')).toBeHidden();
		await page.getByRole('button', { name: 'Table' }).click();
		await expect(page.getByLabel('Value of MORE')).toHaveValue('two\nlines');
		await expect(changes).toContainText('2 added, 1 changed, 1 removed');
		await page.getByRole('button', { name: 'Save', exact: true }).click();

		// Saved is not deployed: what is pending is named.
		const pending = page.getByTestId('pending');
		await expect(pending).toContainText('4 changes pending');
		for (const name of ['GREETING', 'OLD', 'MORE', 'DB']) await expect(pending).toContainText(name);
		await expect(pending).not.toContainText('STAYS');
		expect((await stage.spec()).env).toEqual({ GREETING: 'good day', STAYS: 'as it is', MORE: 'two\nlines' });
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
