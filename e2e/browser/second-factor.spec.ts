import { expect, picture, setupLinks, sound, test } from './berth.ts';
import { authenticator, code, keepCodes, type } from './factors.ts';

const password = 'a long enough password';

// On a server of its own: it ends every session there that is too little.
test('a second factor is required of others from now on', async ({ browser, viewport, theme }, info) => {
	const link = setupLinks.rule!;
	const origin = new URL(link).origin;
	/** A browser of somebody. */
	const person = async () => {
		const page = await (await browser.newContext({ baseURL: origin, viewport, reducedMotion: 'reduce' })).newPage();
		await page.addInitScript((t) => localStorage.setItem('mode-watcher-mode', t), theme);
		return { page, touch: await authenticator(page), home: page.getByRole('heading', { name: 'Projects', level: 1 }) };
	};
	const [ana, bo, cy] = [await person(), await person(), await person()];
	const rule = ana.page.getByTestId('second-factor-rule');
	const choose = async (of: string) => {
		await rule.getByRole('radio', { name: of, exact: true }).click();
		await expect(rule.getByRole('radio', { name: of, exact: true })).toBeChecked();
		await expect(rule.getByRole('alert')).toHaveCount(0);
	};
	const signedIn = async (who: typeof ana) => (await who.page.request.get('/api/session')).status();

	await test.step('an administrator has a passkey', async () => {
		await ana.page.goto(link);
		await ana.page.getByLabel('Username').fill('ana');
		await ana.page.getByLabel('Password', { exact: true }).fill(password);
		await ana.page.getByLabel('Password again').fill(password);
		await ana.page.getByRole('button', { name: 'Create administrator' }).click();
		await ana.touch(
			() => ana.page.getByRole('button', { name: 'Add a passkey' }).click(),
			() => expect(ana.page.getByRole('heading', { name: 'Your recovery codes' })).toBeVisible()
		);
		await keepCodes(ana.page);
		await expect(ana.home).toBeVisible();
	});

	await test.step('others come in with a password alone', async () => {
		for (const [who, username, role] of [
			[bo, 'bo', 'member'],
			[cy, 'cy', 'administrator']
		] as const) {
			expect((await ana.page.request.post('/api/people', { data: { username, role, password } })).status()).toBe(201);
			await type(who.page, username, password);
			await who.page.getByRole('button', { name: 'Not now' }).click();
			await expect(who.home).toBeVisible();
		}
	});

	await test.step('of administrators: theirs end at once, and nobody else’s', async () => {
		await ana.page.goto('/system/sign-in');
		await choose('Administrators');
		await expect(cy.page, 'led out without a click').toHaveURL(/\/sign-in/);
		expect(await signedIn(cy)).toBe(401);
		expect(await signedIn(bo)).toBe(200);
		expect(await signedIn(ana)).toBe(200);
		await expect(bo.home).toBeVisible();
	});

	await test.step('they set a passkey up at the next sign-in, and are in', async () => {
		await type(cy.page, 'cy', password);
		await expect(cy.page.getByRole('heading', { name: 'Set up a second factor' })).toBeVisible();
		expect(await signedIn(cy), 'nobody until then').toBe(401);
		await sound(cy.page);
		await cy.touch(
			() => cy.page.getByRole('button', { name: 'Add a passkey' }).click(),
			() => expect(cy.page.getByRole('heading', { name: 'Your recovery codes' })).toBeVisible()
		);
		await keepCodes(cy.page);
		await expect(cy.home).toBeVisible();
	});

	await test.step('of everybody: the last weak session ends, the strong ones stay', async () => {
		await choose('Everybody');
		await sound(ana.page);
		await rule.scrollIntoViewIfNeeded();
		await picture(ana.page, info, 'second-factor-everybody');
		await expect(bo.page).toHaveURL(/\/sign-in/);
		expect(await signedIn(bo)).toBe(401);
		expect(await signedIn(cy)).toBe(200);
		expect(await signedIn(ana)).toBe(200);
	});

	await test.step('a member sets up an app, and is asked for its code from then on', async () => {
		await type(bo.page, 'bo', password);
		await expect(bo.page.getByRole('heading', { name: 'Set up a second factor' })).toBeVisible();
		await bo.page.goto('/projects/new');
		await expect(bo.page, 'there is no way around it').toHaveURL(/\/sign-in/);
		await bo.page.getByRole('button', { name: 'Use an app that makes codes' }).click();
		const secret = (await bo.page.getByTestId('totp-secret').textContent())!;
		await bo.page.getByLabel('Code that the app shows now').fill(code(secret));
		await bo.page.getByRole('button', { name: 'Confirm' }).click();
		await keepCodes(bo.page);
		await expect(bo.page).toHaveURL(/\/projects\/new$/);
		expect(await signedIn(bo)).toBe(200);
		await bo.page.context().clearCookies();
		await type(bo.page, 'bo', password);
		await expect(bo.page.getByRole('heading', { name: 'One more step' })).toBeVisible();
		expect(await signedIn(bo)).toBe(401);
		await bo.page.getByLabel('Code of your app').fill(code(secret, 1));
		await bo.page.getByRole('button', { name: 'Go on' }).click();
		await expect(bo.home).toBeVisible();
	});

	await test.step('it is in the audit, and asking for less ends nothing', async () => {
		await choose('Nobody');
		for (const who of [ana, bo, cy]) expect(await signedIn(who)).toBe(200);
		await ana.page.goto('/audit');
		await expect(ana.page.getByText('requires a second factor of everybody').first()).toBeVisible();
	});
	for (const who of [ana, bo, cy]) await who.page.context().close();
});
