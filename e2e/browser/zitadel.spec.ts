import { expect, sound, test, zitadel } from './berth.ts';

const base = process.env.BERTH_URL ?? 'http://localhost:8080';

test('people sign in at a provider that Zitadel wrote, and signing out leads there', async ({ dashboard: page, browser }) => {
	test.skip(!zitadel, 'no provider that the browser can reach');
	const { issuer, client, secret, username, password } = zitadel!;

	await test.step('an administrator adds it as the preset knows it', async () => {
		await page.goto('/system/sign-in');
		await page.getByRole('button', { name: 'Add provider' }).first().click();
		const dialog = page.getByRole('dialog', { name: 'Add a provider' });
		await dialog.getByLabel('Kind').selectOption('Zitadel');
		await expect(dialog.getByLabel('Name', { exact: true })).toHaveValue('zitadel');
		await dialog.getByLabel('Issuer').fill(issuer);
		await dialog.getByLabel('Client id').fill(client);
		await dialog.getByLabel('Client secret').fill(secret);
		await dialog.getByLabel('Let people in whom Berth does not know yet').check();
		await dialog.getByLabel('Signing out of Berth leads on').check();
		await dialog.getByRole('button', { name: 'Add provider' }).click();
		await expect(page.getByTestId('provider-list')).toContainText(issuer);
	});

	const context = await browser.newContext({ baseURL: base });
	const guest = await context.newPage();
	await test.step('its own page lets nobody in with a wrong password', async () => {
		await guest.goto('/sign-in?to=/account/identities');
		await guest.getByRole('link', { name: 'Sign in with Zitadel' }).click();
		await expect(guest).toHaveURL(new RegExp(`^${issuer}/login/username`));
		await guest.getByLabel('Username:').fill(username);
		await guest.getByLabel('Password:').fill('a guess');
		await guest.getByRole('button', { name: 'Login' }).click();
		await expect(guest.getByText('username or password wrong')).toBeVisible();
		expect((await guest.request.get('/api/session')).status()).toBe(401);
	});

	await test.step('what it tells of somebody is on their account', async () => {
		await guest.getByLabel('Username:').fill(username);
		await guest.getByLabel('Password:').fill(password);
		await guest.getByRole('button', { name: 'Login' }).click();
		await expect(guest).toHaveURL(`${base}/account/identities`);
		const known = guest.getByTestId('identities');
		await expect(known).toContainText('test-user2@zitadel.ch');
		await expect(known).toContainText('zitadel:crew');
		await expect(guest.getByTestId('tokens-zitadel')).toContainText('Berth can act there for you');
		await expect(guest.getByRole('banner')).toContainText('Test User2');
		await sound(guest);
	});

	await test.step('signing out leads to it, and back', async () => {
		const there = guest.waitForRequest((r) => r.isNavigationRequest() && r.url().startsWith(`${issuer}/end_session?`));
		await guest.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
		const told = new URL((await there).url()).searchParams;
		expect(told.get('post_logout_redirect_uri')).toBe(`${base}/sign-in`);
		expect(told.get('client_id')).toBe(client);
		await expect(guest).toHaveURL(/\/sign-in/);
		expect((await guest.request.get('/api/session')).status()).toBe(401);
		await guest.getByRole('link', { name: 'Sign in with Zitadel' }).click();
		await expect(guest.getByLabel('Password:'), 'nobody is signed in there either').toBeVisible();
	});
	await context.close();

	await test.step('removing it leaves nothing for other walks', async () => {
		expect((await page.request.delete(`/api/people/${username}`)).status()).toBe(204);
		expect((await page.request.delete('/api/providers/zitadel')).status()).toBe(204);
	});
});
