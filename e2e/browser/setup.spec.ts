import { expect, picture, setupLinks, sound, test } from './berth.ts';

test('the first administrator is made by the link that works once', async ({ page, browser }, info) => {
	const link = setupLinks[info.project.name]!;
	const origin = new URL(link).origin;
	const password = 'a long enough password';

	await test.step('say where the link is', async () => {
		await page.goto(origin);
		await expect(page.getByText('The set-up link is incomplete')).toBeVisible();
		await sound(page);
		await picture(page, info, 'setup-incomplete');
		await page.goto(`${origin}/sign-in`);
		await expect(page.getByText('Nobody has an account yet')).toBeVisible();
		await sound(page);
	});

	await test.step('refuse a link that somebody made up', async () => {
		await page.goto(`${origin}/setup#token=made-up`);
		await page.getByLabel('Password', { exact: true }).fill(password);
		await page.getByLabel('Password again').fill(password);
		await page.getByRole('button', { name: 'Create administrator' }).click();
		await expect(page.getByRole('alert')).toContainText('not valid');
		await sound(page);
	});

	await test.step('make the first administrator', async () => {
		await page.goto(link); // another fragment of the page that is open
		await expect(page, 'the token is not left to be read').toHaveURL(`${origin}/setup`);
		await expect(page.getByRole('alert')).toHaveCount(0);
		await page.getByLabel('Username').fill('Not A Name');
		await page.getByLabel('Password', { exact: true }).fill(password);
		await page.getByLabel('Password again').fill('another long password');
		await expect(page.locator('[data-field-error]')).toHaveText('The two passwords differ.');
		await page.getByLabel('Password again').fill(password);
		await page.getByRole('button', { name: 'Create administrator' }).click();
		await expect(page.locator('[data-field-error]'), 'told at the field').toHaveCount(1);
		await expect(page.getByLabel('Username')).toBeFocused();
		await sound(page);
		await page.getByLabel('Username').fill('ana');
		await picture(page, info, 'setup');
		await page.getByRole('button', { name: 'Create administrator' }).click();
		await expect(page.getByRole('heading', { name: 'Next time without a password?' })).toBeVisible();
		await sound(page);
		await picture(page, info, 'setup-passkey');
		await page.getByRole('button', { name: 'Not now' }).click();
		await expect(page.getByRole('heading', { level: 1, name: 'Projects' })).toBeVisible();
	});

	await test.step('see what is next, and that nothing is there', async () => {
		for (const [name, path] of [
			['projects', '/'],
			['images', '/images'],
			['secrets', '/secrets'],
			['registries', '/registries'],
			['activity', '/activity'],
			['tokens', '/account/tokens']
		] as const) {
			await page.goto(origin + path);
			await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
			await expect(page.locator('main [role=status][aria-label^=Loading]')).toHaveCount(0);
			await sound(page);
			await picture(page, info, `${name}-empty`);
		}
	});

	await test.step('find the link used up', async () => {
		const theirs = await browser.newContext();
		const late = await theirs.newPage();
		await late.goto(link);
		await expect(late.getByText('This Berth is set up already')).toBeVisible();
		await sound(late);
		await late.getByRole('link', { name: 'Sign in' }).click();
		await late.getByLabel('Username').fill('ana');
		await late.getByLabel('Password').fill(password);
		await late.getByRole('button', { name: 'Sign in' }).click();
		await expect(late.getByRole('heading', { level: 1, name: 'Projects' })).toBeVisible();
		await theirs.close();
	});
});
