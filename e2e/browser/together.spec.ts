import type { Browser, Page } from '@playwright/test';
import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

/** Somebody else, signed in elsewhere. */
async function another(page: Page, browser: Browser, username: string): Promise<Page> {
	const password = 'another long password';
	const made = await page.request.post('/api/people', { data: { username, password, role: 'administrator' } });
	expect(made.status(), await made.text()).toBe(201);
	const context = await browser.newContext({ baseURL: new URL(page.url()).origin });
	expect((await context.request.post('/api/session', { data: { username, password } })).status()).toBe(200);
	return context.newPage();
}

test('two people change one stage, and the second chooses knowingly', async ({ dashboard: page, browser }, info) => {
	const project = unique(info, 'pair');
	const username = unique(info, 'carla');
	const stage = await makeStage(page, project, { env: { GREETING: 'ahoy', LEVEL: 'info' } });
	const settings = `${stage.path}/settings`;
	await page.goto(settings);
	const theirs = await another(page, browser, username);
	const saveTheirs = async (greeting: string) => {
		await theirs.goto(settings);
		await theirs.getByLabel('Value of GREETING').fill(greeting);
		await theirs.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(theirs.getByText('Saved', { exact: true })).toBeVisible();
	};
	const conflict = page.getByRole('alertdialog', { name: `${username} changed stage prod meanwhile` });
	const save = page.getByRole('button', { name: 'Save', exact: true });
	const greeting = page.getByLabel('Value of GREETING');
	const level = page.getByLabel('Value of LEVEL');

	await test.step('be told who changed what, and keep editing', async () => {
		await level.fill('debug');
		await saveTheirs('hei');
		await save.click();
		await expect(conflict.getByTestId('theirs')).toContainText('Variable GREETING');
		await expect(conflict.getByTestId('theirs')).toContainText('hei');
		await expect(conflict.getByTestId('theirs')).not.toContainText('LEVEL');
		await expect(conflict.getByTestId('mine')).toContainText('Variable LEVEL');
		await expect(conflict.getByTestId('mine'), 'overwriting takes theirs back').toContainText('Variable GREETING');
		await expect(conflict.getByRole('button', { name: 'Keep editing' })).toBeFocused();
		await sound(page);
		await picture(page, info, 'conflict');
		await page.keyboard.press('Escape');
		await expect(conflict).toHaveCount(0);
		await expect(level).toHaveValue('debug');
		expect((await stage.spec()).env).toEqual({ GREETING: 'hei', LEVEL: 'info' });
	});

	await test.step('take theirs', async () => {
		await save.click();
		await conflict.getByRole('button', { name: 'Load theirs' }).click();
		await expect(conflict).toHaveCount(0);
		await expect(greeting).toHaveValue('hei');
		await expect(level).toHaveValue('info');
	});

	await test.step('overwrite theirs', async () => {
		await level.fill('warn');
		await saveTheirs('moi');
		await save.click();
		await conflict.getByRole('button', { name: 'Overwrite theirs' }).click();
		await expect(page).toHaveURL(new RegExp(`${stage.path}$`));
		expect((await stage.spec()).env).toEqual({ GREETING: 'hei', LEVEL: 'warn' });
	});

	await test.step('meet in the project’s settings too', async () => {
		await page.goto(`/projects/${project}/settings`);
		await page.getByLabel('Description').fill('Mine');
		await theirs.goto(`/projects/${project}/settings`);
		await theirs.getByLabel('Description').fill('Theirs');
		await theirs.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(theirs.getByText('Project saved')).toBeVisible();
		await save.click();
		const dialog = page.getByRole('alertdialog', { name: `${username} changed project ${project} meanwhile` });
		await expect(dialog.getByTestId('mine')).toContainText('Theirs');
		await sound(page);
		await dialog.getByRole('button', { name: 'Overwrite theirs' }).click();
		await expect(page.getByText('Project saved')).toBeVisible();
		await expect(page.locator('main')).toContainText('Mine');
	});
	await theirs.context().close();
	await page.request.delete(`/api/people/${username}`);
	await stage.remove();
});

test('what is typed in a dialog stays when the stage moves on', async ({ dashboard: page }, info) => {
	const project = unique(info, 'typed');
	const stage = await makeStage(page, project);
	await page.goto(stage.path);
	await page.getByRole('button', { name: 'Deploy', exact: true }).click();
	const tag = page.getByLabel('Tag or digest');
	await expect(tag, 'a tag is proposed').not.toHaveValue('');
	await tag.fill('1');
	const paused = await page.request.post(`/api${stage.path}/pause`, { data: { reason: 'somebody else' } });
	expect(paused.ok(), await paused.text()).toBe(true);
	await expect(page.getByTestId('paused'), 'the page below follows').toBeVisible();
	await expect(tag).toHaveValue('1');
	await expect(page.getByRole('button', { name: 'Deploy 1' })).toBeVisible();
	await page.keyboard.press('Escape');
	await stage.remove();
});

test('a secret that somebody else set is not replaced unseen', async ({ dashboard: page }, info) => {
	const context = unique(info, 'shelf');
	const set = async (value: string) => expect((await page.request.put(`/api/secrets/${context}/key`, { data: { value } })).status()).toBe(200);
	await page.goto('/secrets');
	await page.getByRole('button', { name: 'New secret' }).first().click();
	await page.getByLabel('Context').fill(context);
	await page.getByLabel('Name').fill('key');
	await page.getByRole('textbox', { name: 'Value' }).fill('mine');
	await set('theirs');
	await page.getByRole('button', { name: 'Set secret' }).click();
	const conflict = page.getByRole('alertdialog');
	await expect(conflict).toContainText(`There is a secret ${context}/key already`);
	await sound(page);
	await picture(page, info, 'conflict-secret');
	await conflict.getByRole('button', { name: 'Leave theirs' }).click();
	await expect(page.getByRole('dialog')).toHaveCount(0);
	const shelf = page.getByRole('region', { name: context });
	await expect(shelf).toContainText('version 1');

	await shelf.getByRole('button', { name: 'Replace key' }).click();
	await page.getByRole('textbox', { name: 'Value' }).fill('mine');
	await set('theirs again');
	await page.getByRole('button', { name: 'Replace', exact: true }).click();
	await conflict.getByRole('button', { name: 'Overwrite theirs' }).click();
	await expect(conflict).toHaveCount(0);
	await expect(shelf).toContainText('version 3');
	expect((await page.request.delete(`/api/secrets/${context}/key`)).status()).toBe(204);
});

test('a registry account that somebody else changed is not replaced unseen', async ({ dashboard: page }, info) => {
	const host = `${unique(info, 'shared')}.example.com`;
	const set = async (username: string) => expect((await page.request.put(`/api/registries/${host}`, { data: { username, password: 'hush' } })).ok()).toBe(true);
	await set('berth');
	await page.goto('/registries');
	await page.getByRole('button', { name: `Change the account for ${host}` }).click();
	await page.getByLabel('Username').fill('mine');
	await page.getByLabel('Password or token').fill('hush');
	await set('theirs');
	await page.getByRole('button', { name: 'Save' }).click();
	const conflict = page.getByRole('alertdialog');
	await expect(conflict.getByTestId('theirs')).toContainText('theirs');
	await expect(conflict.getByTestId('mine')).toContainText('mine');
	await sound(page);
	await conflict.getByRole('button', { name: 'Load theirs' }).click();
	await expect(conflict).toHaveCount(0);
	await expect(page.getByLabel('Username')).toHaveValue('theirs');
	await page.getByLabel('Username').fill('mine');
	await page.getByLabel('Password or token').fill('hush');
	await page.getByRole('button', { name: 'Save' }).click();
	await expect(page.getByTestId('registries')).toContainText('as mine');
	expect((await page.request.delete(`/api/registries/${host}`)).ok()).toBe(true);
});
