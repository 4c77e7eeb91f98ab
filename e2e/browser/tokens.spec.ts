import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('a token for one stage does nothing elsewhere, and ends with it', async ({ dashboard: page, playwright, baseURL }, info) => {
	const [mine, other] = [unique(info, 'bound'), unique(info, 'beside')];
	const [stage, beside] = [await makeStage(page, mine), await makeStage(page, other)];
	await page.goto('/account/tokens');
	await page.getByRole('button', { name: 'New token' }).click();
	const dialog = page.getByRole('dialog');
	await dialog.getByLabel('Name').fill(mine);
	await dialog.getByLabel('It is for').selectOption(mine);
	await dialog.getByLabel('Stage', { exact: true }).selectOption('prod');
	await sound(page);
	await picture(page, info, 'token');
	await dialog.getByRole('button', { name: 'Make token' }).click();
	const token = (await page.getByTestId('token').textContent())!.trim();
	await dialog.getByRole('button', { name: 'Done' }).click();
	await expect(page.getByTestId('tokens').getByText(`${mine}/prod`, { exact: true })).toBeVisible();
	await sound(page);
	await picture(page, info, 'tokens');

	const pipeline = await playwright.request.newContext({ baseURL: baseURL!, extraHTTPHeaders: { Authorization: `Bearer ${token}` } });
	expect((await pipeline.get(`/api/projects/${mine}/stages/prod`)).status()).toBe(200);
	expect([403, 404]).toContain((await pipeline.get(`/api/projects/${other}/stages/prod`)).status());
	expect((await pipeline.get('/api/people')).status()).toBe(403);
	await stage.remove();
	await expect(page.getByTestId('tokens').getByText(`${mine}/prod`, { exact: true })).toHaveCount(0);
	expect((await pipeline.get('/api/session')).status()).toBe(401);
	await pipeline.dispose();
	await beside.remove();
});

test('an administrator sees somebody’s tokens on their page, and removes one', async ({ dashboard: page }, info) => {
	const name = unique(info, 'leaked');
	const me = (await (await page.request.get('/api/session')).json()) as { person: { username: string } };
	expect((await page.request.post('/api/account/tokens', { data: { name, scope: 'read' } })).status()).toBe(201);
	await page.goto(`/people/${me.person.username}`);
	await expect(page.getByTestId('tokens').getByText(name, { exact: true })).toBeVisible();
	await sound(page);
	await picture(page, info, 'person-tokens');
	await page.getByRole('button', { name: `Remove ${name}` }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove token' }).click();
	await expect(page.getByText(name, { exact: true })).toHaveCount(0);
});
