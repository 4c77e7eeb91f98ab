import type { Browser } from '@playwright/test';
import { admin, expect, picture, sound, test, unique, unproved } from './berth.ts';
import { code, leave } from './factors.ts';
import { client, signInThere, startProvider } from './provider.ts';

const port = Number(process.env.BERTH_TEST_PROVIDER_PORT);
const base = process.env.BERTH_URL ?? 'http://localhost:8080';

/** The browser of somebody who has not signed in. */
async function stranger(browser: Browser) {
	const context = await browser.newContext({ baseURL: base });
	return context.newPage();
}

for (const pushed of [false, true]) {
	test(`people sign in at a provider ${pushed ? 'that wants requests pushed' : 'and are known again'}`, async ({ dashboard: page, browser }, info) => {
		test.skip(!port, 'no port that the browser can reach');
		const slug = unique(info, pushed ? 'par' : 'home').slice(0, 31);
		const who = unique(info, pushed ? 'pia' : 'hana');
		const provider = await startProvider(port, `${base}/auth/${slug}/callback`, `${base}/auth/${slug}/backchannel-logout`, pushed);
		const row = page.getByTestId('provider-list').getByRole('listitem').filter({ hasText: slug });

		await test.step('an administrator adds it', async () => {
			await page.goto('/system/sign-in');
			await expect(page.getByTestId('break-glass')).toContainText('admin can sign in with a password');
			await sound(page);
			await page.getByRole('button', { name: 'Add provider' }).first().click();
			const dialog = page.getByRole('dialog', { name: 'Add a provider' });
			await dialog.getByLabel('Name', { exact: true }).fill(slug);
			await expect(dialog.getByTestId('redirect')).toHaveText(`${base}/auth/${slug}/callback`);
			await expect(dialog.getByTestId('logout')).toHaveText(`${base}/auth/${slug}/backchannel-logout`);
			await expect(dialog.getByTestId('landed')).toHaveText(`${base}/sign-in`);
			await dialog.getByLabel('Issuer').fill('http://id.example.org');
			await dialog.getByLabel('Client id').fill(client.id);
			await dialog.getByLabel('Client secret').fill(client.secret);
			await dialog.getByLabel('On its button').fill(slug);
			await dialog.getByText('Claims and scopes').click();
			await dialog.getByLabel('Scopes').fill('openid profile email groups');
			await sound(page);
			await picture(page, info, 'provider');
			await dialog.getByRole('button', { name: 'Add provider' }).click();
			await expect(dialog.locator('[data-field-error]')).toContainText('needs https://');
			await dialog.getByLabel('Issuer').fill(provider.issuer);
			// It is for who has just proved who they are, and what was typed stays.
			await unproved(page, '**/api/providers', () => dialog.getByRole('button', { name: 'Add provider' }).click());
			await expect(dialog.getByRole('alert')).toContainText('Nothing was saved');
			await dialog.getByRole('button', { name: 'Add provider' }).click();
			await expect(row).toContainText('known people only');
			await sound(page);
			await picture(page, info, 'providers');
		});

		await test.step('tests it without anything coming of it', async () => {
			await row.getByRole('button', { name: `Test ${slug}` }).click();
			await signInThere(page, who);
			await expect(page.getByText('Nobody would have come in')).toBeVisible();
			await expect(page.getByTestId('trial')).toContainText(`${who}@example.org (verified)`);
			await expect(page.getByTestId('trial')).toContainText(`${slug}:crew`);
			await sound(page);
			await picture(page, info, 'provider-test');
		});

		const guest = await stranger(browser);
		await test.step('a stranger is not let in', async () => {
			await guest.goto('/sign-in');
			await sound(guest);
			await picture(guest, info, 'sign-in-providers');
			await guest.getByRole('link', { name: `Sign in with ${slug}` }).click();
			await signInThere(guest, who);
			await expect(guest.getByRole('alert')).toContainText('Berth does not know you yet');
		});

		await test.step('unknown people may come in', async () => {
			await page.goto('/system/sign-in');
			await row.getByRole('button', { name: `Change ${slug}` }).click();
			const dialog = page.getByRole('dialog', { name: `Provider ${slug}` });
			await dialog.getByLabel('Let people in whom Berth does not know yet').check();
			await dialog.getByLabel('Signing out of Berth leads on').check();
			await expect(dialog.getByLabel('Trust its second factor')).not.toBeChecked();
			await picture(page, info, 'provider-trust');
			const now = (await (await page.request.get(`/api/providers/${slug}`)).json()) as { version: number };
			expect((await page.request.patch(`/api/providers/${slug}`, { data: { version: now.version, order: 7 } })).status()).toBe(200);
			await dialog.getByRole('button', { name: 'Save' }).click();
			const conflict = page.getByRole('alertdialog');
			await expect(conflict.getByTestId('theirs')).toContainText('7');
			await expect(conflict.getByTestId('mine')).toContainText('lets unknown people in');
			await expect(conflict).toContainText('Its client secret stays the one there is.');
			await picture(page, info, 'provider-conflict');
			await conflict.getByRole('button', { name: 'Overwrite theirs' }).click();
			await expect(dialog).toHaveCount(0);
			await expect(row).toContainText('lets unknown people in');
			await guest.goto('/sign-in?to=/account/identities');
			await guest.getByRole('link', { name: `Sign in with ${slug}` }).click();
			await expect(guest.getByTestId('identities')).toContainText(`${slug}:crew`);
			await expect(guest).toHaveURL(`${base}/account/identities`);
			await sound(guest);
			await expect(guest.getByTestId(`tokens-${slug}`)).toContainText('Berth can act there for you');
			await picture(guest, info, 'identities');
			await guest.getByRole('button', { name: /Forget its tokens/ }).click();
			await guest.getByRole('alertdialog').getByRole('button', { name: 'Forget' }).click();
			await expect(guest.getByTestId(`tokens-${slug}`)).toHaveCount(0);
		});

		await test.step('the list says when it can not be asked between two sign-ins', async () => {
			// Berth asks each quarter of an hour, which nobody waits for here: what it would say by then.
			await page.route('**/api/providers', async (route) => {
				const answer = await route.fetch();
				const body = (await answer.json()) as { items: { slug: string; refresh: Record<string, unknown> }[] };
				for (const p of body.items) {
					if (p.slug !== slug) continue;
					p.refresh = { asked_about: 2, not_asked_about: 1, failing_since: new Date(Date.now() - 600_000).toISOString(), trouble: 'refresh: its token endpoint answered 503' };
				}
				await route.fulfill({ response: answer, json: body });
			});
			await page.goto('/system/sign-in');
			await expect(row).toContainText(/can’t be asked about who is signed in, since 10 minutes ago:.* its token endpoint answered 503/);
			await expect(row).toContainText('1 signed in by it is not asked about between two sign-ins');
			await sound(page);
			await picture(page, info, 'provider-failing');
			await page.unroute('**/api/providers');
		});

		await test.step('who has only a provider proves there again who they are', async () => {
			const before = (await (await guest.request.get('/api/session')).json()).authenticated_at as string;
			await guest.goto('/sign-in?step_up=sign_in&within=5m&to=/account/identities');
			await expect(guest.getByTestId('step-up-providers')).toContainText(`Prove it with ${slug}`);
			await sound(guest);
			await picture(guest, info, 'step-up-provider');
			await guest.getByRole('link', { name: `Prove it with ${slug}` }).click();
			await signInThere(guest, who, true);
			await expect(guest).toHaveURL(`${base}/account/identities`);
			const after = (await (await guest.request.get('/api/session')).json()).authenticated_at as string;
			expect(Date.parse(after)).toBeGreaterThan(Date.parse(before));

			// Its word for a second factor is not taken, and a passkey is no provider's to prove.
			await guest.goto('/sign-in?step_up=second_factor&to=/account');
			await expect(guest.getByText('You have no second factor yet')).toBeVisible();
			await expect(guest.getByTestId('step-up-providers')).toHaveCount(0);
			await guest.goto('/account/identities');
		});

		await test.step('who has no password sets one, and does without it again', async () => {
			await guest.goto('/account');
			await expect(guest.getByRole('heading', { name: 'Set a password' })).toBeVisible();
			await expect(guest.getByLabel('Password now')).toHaveCount(0);
			await guest.getByLabel('New password', { exact: true }).fill('short');
			await guest.getByLabel('New password again').fill('short');
			await guest.getByRole('button', { name: 'Set password' }).click();
			await expect(guest.locator('[data-field-error]')).toContainText('takes 10 characters or more');
			await sound(guest);
			await picture(guest, info, 'password-set');
			await guest.getByLabel('New password', { exact: true }).fill('a password of my own');
			await guest.getByLabel('New password again').fill('a password of my own');
			await guest.getByRole('button', { name: 'Set password' }).click();
			await expect(guest.getByRole('heading', { name: 'Change password' })).toBeVisible();
			const other = await stranger(browser);
			expect((await other.request.post('/api/session', { data: { username: who, password: 'a password of my own' } })).status()).toBe(200);
			await sound(guest);
			await picture(guest, info, 'password-remove');
			await guest.getByRole('button', { name: 'Remove password…' }).click();
			await sound(guest);
			await guest.getByRole('alertdialog').getByRole('button', { name: 'Remove password' }).click();
			await expect(guest.getByRole('heading', { name: 'Set a password' })).toBeVisible();
			expect((await other.request.get('/api/session')).status(), 'what the password began has ended').toBe(401);
			await other.context().close();
			await guest.goto('/account/identities');
		});

		await test.step('linking takes a proof of who they are', async () => {
			await unproved(guest, '**/api/account/identities', () => guest.getByRole('button', { name: `Link ${slug}`, exact: true }).click());
			await expect(guest).toHaveURL(`${base}/account/identities`);
		});

		await test.step('the last way in is not unlinked', async () => {
			await guest.getByRole('button', { name: `Unlink ${slug}` }).click();
			await guest.getByRole('button', { name: 'Unlink', exact: true }).click();
			await expect(guest.getByText('you have no other way in', { exact: false })).toBeVisible();
			await guest.keyboard.press('Escape');
		});

		await test.step('an administrator sees the identity and the session, and ends it', async () => {
			await page.goto(`/people/${who}`);
			const known = page.getByTestId('person-identities').getByRole('listitem');
			await expect(known).toContainText(`${who}@example.org`);
			await expect(known).toContainText(provider.issuer);
			await expect(known).toContainText('groups synced');
			await expect(page.getByTestId('sessions')).toContainText(slug);
			await sound(page);
			await picture(page, info, 'person');
			await page.setViewportSize({ width: 390, height: 844 });
			await picture(page, info, 'person-phone');
			await page.setViewportSize({ width: 1280, height: 860 });
			await known.getByRole('button', { name: `Unlink ${slug}` }).click();
			await page.getByRole('alertdialog').getByRole('button', { name: 'Unlink' }).click();
			await expect(page.getByText('set a password for them first')).toBeVisible();
			await page.keyboard.press('Escape');
			await page.getByRole('button', { name: 'Sign out everywhere…' }).click();
			await sound(page);
			await page.getByRole('alertdialog').getByRole('button', { name: 'Sign out everywhere' }).click();
			await expect(page.getByText('Signed in nowhere')).toBeVisible();
			await expect(guest, 'their session has ended').toHaveURL(/\/sign-in/);

			// With a password there is another way in.
			expect((await page.request.post(`/api/people/${who}/password`, { data: { password: 'a long enough password' } })).status()).toBe(204);
			await known.getByRole('button', { name: `Unlink ${slug}` }).click();
			await page.getByRole('alertdialog').getByRole('button', { name: 'Unlink' }).click();
			await expect(page.getByText('No provider knows them')).toBeVisible();
			await sound(page);
			expect((await page.request.delete(`/api/people/${who}`)).status()).toBe(204);
			await guest.goto('/sign-in?to=/account/identities');
			await guest.getByRole('link', { name: `Sign in with ${slug}` }).click();
			await expect(guest.getByTestId('identities')).toContainText(`${slug}:crew`);
		});

		await test.step('signing out leads on to the provider, which tells Berth', async () => {
			await guest.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
			await guest.getByRole('button', { name: /yes/i }).click();
			await expect(guest).toHaveURL(/\/sign-in/);
			await expect.poll(() => provider.told).toEqual(['taken']);
		});

		await test.step('removing it says who has no way in left', async () => {
			await page.goto('/system/sign-in');
			await row.getByRole('button', { name: `Change ${slug}` }).click();
			const dialog = page.getByRole('dialog', { name: `Provider ${slug}` });
			await expect(dialog.getByTestId('left-out')).toHaveCount(0);
			await dialog.getByLabel('Switched on').uncheck();
			await expect(dialog.getByText(`${who} has no way in left then`)).toBeVisible();
			await expect(dialog.getByRole('button', { name: 'Save anyway' })).toBeVisible();
			await sound(page);
			await picture(page, info, 'provider-left-out');
			await dialog.getByRole('button', { name: 'Cancel' }).click();
			await row.getByRole('button', { name: `Remove ${slug}` }).click();
			await expect(page.getByRole('alertdialog')).toContainText(`${who} has no way in left then`);
			await sound(page);
			await picture(page, info, 'provider-remove');
			await unproved(page, `**/api/providers/${slug}?force=true`, () => page.getByRole('button', { name: 'Remove it anyway' }).click());
			await expect(page.getByRole('alertdialog').getByRole('alert')).toContainText('Nothing was removed');
			await page.getByRole('button', { name: 'Remove it anyway' }).click();
			await expect(row).toHaveCount(0);
			await page.goto(`/people/${who}`);
			await expect(page.getByText('Neither a password, nor a passkey, nor a provider that is on')).toBeVisible();
			await sound(page);
			await picture(page, info, 'person-no-way-in');
		});
		await guest.context().close();
		provider.close();
	});
}

test('an administrator says how people sign in', async ({ dashboard: page, browser, viewport, theme }, info) => {
	test.skip(!port, 'no port that the browser can reach');
	const slug = unique(info, 'straight').slice(0, 31);
	const [who, typed, chief, halfway] = [unique(info, 'sia'), unique(info, 'typ'), unique(info, 'chi'), unique(info, 'hal')];
	const password = 'a long enough password';
	const provider = await startProvider(port, `${base}/auth/${slug}/callback`, `${base}/auth/${slug}/backchannel-logout`, false);
	const made = { slug, preset: 'oidc', label: 'Harbour', issuer: provider.issuer, client_id: client.id, client_secret: client.secret, create: true, scopes: ['openid', 'profile'], sign_out: true };
	expect((await page.request.post('/api/providers', { data: made })).status()).toBe(201);
	for (const [username, role] of [[typed, 'member'], [chief, 'administrator'], [halfway, 'member']]) {
		expect((await page.request.post('/api/people', { data: { username, role, password } })).status()).toBe(201);
	}
	const guest = await (await browser.newContext({ baseURL: base, viewport, reducedMotion: 'reduce' })).newPage();
	await guest.addInitScript((t) => localStorage.setItem('mode-watcher-mode', t), theme);
	const card = page.getByTestId('sign-in-mode');
	const left = await (await browser.newContext({ baseURL: base, viewport, reducedMotion: 'reduce' })).newPage();
	expect((await left.request.post('/api/session', { data: { username: typed, password } })).ok()).toBe(true);
	const half = await (await browser.newContext({ baseURL: base, viewport, reducedMotion: 'reduce' })).newPage();
	await half.addInitScript((t) => localStorage.setItem('mode-watcher-mode', t), theme);
	expect((await half.request.post('/api/session', { data: { username: halfway, password } })).ok()).toBe(true);
	const { secret } = (await (await half.request.post('/api/account/totp')).json()) as { secret: string };
	expect((await half.request.post('/api/account/totp/confirm', { data: { code: code(secret) } })).ok()).toBe(true);
	await leave(half.context());

	try {
		await test.step('people are led straight to a provider', async () => {
			await page.goto('/system/sign-in');
			await card.getByLabel('Where signing in begins').selectOption({ label: 'Straight to Harbour' });
			await expect(card).toContainText(`${base}/sign-in?local=1`);
			await sound(page);
			await card.scrollIntoViewIfNeeded();
			await picture(page, info, 'sign-in-mode');
			await guest.goto('/device');
			await signInThere(guest, who);
			await expect(guest.getByRole('heading', { name: 'Sign in a command line' }), 'without the sign-in page').toBeVisible();
			await expect(guest).toHaveURL(`${base}/device`);
			await guest.goto('/account/identities');
			await expect(guest.getByTestId('identities')).toContainText('Harbour');
			await expect(guest).toHaveURL(`${base}/account/identities`);
		});

		await test.step('who signs out stays so', async () => {
			await guest.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
			await guest.getByRole('button', { name: /yes/i }).click();
			await expect(guest).toHaveURL(`${base}/sign-in?state=signed_out`);
			await expect(guest.getByText('You are signed out.')).toBeVisible();
			await expect(guest.getByRole('link', { name: 'Sign in with Harbour' })).toBeVisible();
			await sound(guest);
			await picture(guest, info, 'signed-out');
		});

		await test.step('only administrators sign in with a password', async () => {
			await half.goto('/sign-in?local=1');
			await half.getByLabel('Username').fill(halfway);
			await half.getByLabel('Password').fill(password);
			await half.getByRole('button', { name: 'Sign in', exact: true }).click();
			await expect(half.getByRole('heading', { name: 'One more step' })).toBeVisible();
			await card.getByRole('radio', { name: 'Administrators alone' }).click();
			const dialog = page.getByRole('alertdialog');
			await expect(dialog.getByTestId('left-out').or(dialog.getByText('has no way in left then')).first()).toBeVisible();
			await expect(dialog).toContainText(typed);
			await sound(page);
			await picture(page, info, 'sign-in-mode-left-out');
			await dialog.getByRole('button', { name: 'Choose it anyway' }).click();
			await expect(card.getByRole('radio', { name: 'Administrators alone' })).toBeChecked();

			await guest.reload();
			await expect(guest.getByRole('link', { name: 'Sign in with Harbour' })).toBeVisible();
			await expect(guest.getByLabel('Password')).toHaveCount(0);
			await sound(guest);
			await picture(guest, info, 'sign-in-administrators');
			await guest.getByRole('link', { name: 'Administrators: sign in with a password' }).click();
			await guest.getByLabel('Username').fill(typed);
			await guest.getByLabel('Password').fill(password);
			await guest.getByRole('button', { name: 'Sign in', exact: true }).click();
			await expect(guest.getByRole('alert')).toContainText('the username or the password is wrong');
			await sound(guest);
			await picture(guest, info, 'sign-in-local');
			await expect(guest.getByRole('link', { name: 'Sign in with Harbour' })).toBeVisible();
		});

		await test.step('an administrator does, whatever becomes of the provider', async () => {
			// As another walk of theirs may have: no passkey is offered to who wants none.
			await page.request.post('/api/account/factors/decline');
			await guest.getByLabel('Username').fill(admin.username);
			await guest.getByLabel('Password').fill(admin.password);
			await guest.getByRole('button', { name: 'Sign in', exact: true }).click();
			await guest.getByRole('button', { name: 'Your account' }).last().click();
			await guest.getByRole('menuitem', { name: 'Sign out' }).click();
			await expect(guest).toHaveURL(`${base}/sign-in?state=signed_out`);
		});

		await test.step('a sign-in that waits for its second factor comes to nothing', async () => {
			await half.getByLabel('Code of your app').fill(code(secret, 1));
			await half.getByRole('button', { name: 'Go on' }).click();
			await expect(half.getByRole('alert')).toContainText('begin again');
			await expect(half.getByRole('heading', { name: 'Sign in to Berth' })).toBeVisible();
			expect((await half.request.get('/api/session')).status()).toBe(401);
			await sound(half);
			await picture(half, info, 'sign-in-half-ended');
		});

		await test.step('a role that is somebody’s way in is not taken unseen', async () => {
			await page.goto(`/people/${chief}`);
			await page.getByRole('combobox', { name: 'Role' }).selectOption('member');
			await expect(page.getByRole('alertdialog')).toContainText(`${chief} has no way in left then`);
			await sound(page);
			await picture(page, info, 'role-no-way-in');
			await page.getByRole('button', { name: 'Cancel' }).click();
			await expect(page.getByRole('combobox', { name: 'Role' })).toHaveValue('administrator');

			await page.goto('/system/sign-in');
			await page.getByRole('button', { name: 'Make a list' }).click();
			const dialog = page.getByRole('dialog', { name: 'Who administers' });
			await dialog.getByLabel('List').fill('local:admin');
			await dialog.getByRole('button', { name: 'Save' }).click();
			await expect(dialog.getByRole('alert')).toContainText(`${chief} would have no way in left`);
			await sound(page);
			await picture(page, info, 'admins-no-way-in');
			await dialog.getByLabel('It is meant').check();
			await dialog.getByRole('button', { name: 'Save' }).click();
			await expect(dialog).toHaveCount(0);
			await expect(page.getByTestId('admin-people')).not.toContainText(chief);
			await page.request.put('/api/administrators', { data: { entries: [] } });
			await page.goto(`/people/${chief}`);
			await page.getByRole('combobox', { name: 'Role' }).selectOption('member');
			await page.getByRole('button', { name: 'Do it anyway' }).click();
			await expect(page.getByText('no way in', { exact: true })).toBeVisible();
		});

		await test.step('who has a session left alone is told not to sign out', async () => {
			await left.goto('/sign-in?step_up=sign_in&to=/');
			await expect(left.getByText('Do not sign out: nothing would let you in again')).toBeVisible();
			await sound(left);
			await picture(left, info, 'step-up-no-way-in');
			await left.goto('/account/factors');
			await expect(left.getByText('Your password does not count now')).toBeVisible();
			await left.goto('/account');
			await expect(left.getByTestId('no-passwords')).toContainText('Do not sign out: nothing would let you in again');
		});

		await test.step('a person’s page says so, and theirs that they need none', async () => {
			await page.goto(`/people/${typed}`);
			await expect(page.getByText('a password of theirs signs in only where passwords are for everybody')).toBeVisible();
			await page.getByRole('button', { name: 'Set password…' }).click();
			await expect(page.getByRole('alertdialog').or(page.getByRole('dialog'))).toContainText('It signs them in only where passwords are for everybody');
			await sound(page);
			await picture(page, info, 'set-password-refused');
			await page.keyboard.press('Escape');
			await page.goto('/people');
			await page.getByRole('button', { name: 'Add person' }).first().click();
			await expect(page.getByRole('dialog')).toContainText('They have no way in');
			await expect(page.getByRole('dialog')).not.toContainText('Hand it over now');
			await sound(page);
			await picture(page, info, 'add-person-refused');
			await page.keyboard.press('Escape');
			await guest.goto('/account');
			await signInThere(guest, who);
			await expect(guest.getByTestId('no-passwords')).toContainText('Only administrators sign in with a password here.');
			await expect(guest.getByLabel('New password')).toHaveCount(0);
			await sound(guest);
			await picture(guest, info, 'account-no-password');
		});

		await test.step('while the provider is off, everybody sees the page', async () => {
			await page.goto('/system/sign-in');
			const row = page.getByTestId('provider-list').getByRole('listitem').filter({ hasText: slug });
			await row.getByRole('button', { name: /^Remove/ }).click();
			await expect(page.getByRole('alertdialog')).toContainText('People are led straight to it now: they see the sign-in page from then on.');
			await page.getByRole('button', { name: 'Cancel' }).click();
			await row.getByRole('button', { name: 'Change Harbour' }).click();
			const dialog = page.getByRole('dialog', { name: 'Provider Harbour' });
			await dialog.getByLabel('Switched on').uncheck();
			await expect(dialog).toContainText('People are led straight to it now: they see the sign-in page while it is off.');
			await sound(page);
			await picture(page, info, 'provider-straight-off');
			await dialog.getByRole('button', { name: 'Save anyway' }).click();
			await expect(dialog).toHaveCount(0);
			await expect(card).toContainText('Harbour is switched off, so people see the sign-in page.');
			await sound(page);
			await guest.goto('/account');
			await expect(guest).toHaveURL(/\/sign-in\?next=%2Faccount/);
			await expect(guest.getByLabel('Password'), 'it is all that there is').toBeVisible();
		});
	} finally {
		const now = (await (await page.request.get('/api/sign-in-mode')).json()) as { version: number };
		await page.request.put('/api/sign-in-mode', { data: { passwords: 'everybody', version: now.version } });
		await page.request.delete(`/api/providers/${slug}?force=true`);
		await page.request.put('/api/administrators', { data: { entries: [] } });
		for (const username of [typed, chief, halfway]) await page.request.delete(`/api/people/${username}`);
		for (const one of [left, half, guest]) await one.context().close();
		provider.close();
	}
});
