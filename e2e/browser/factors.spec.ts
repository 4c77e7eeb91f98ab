import { expect, picture, setupLinks, sound, test, unique } from './berth.ts';
import { authenticator, code, keepCodes, leave, type } from './factors.ts';

test('a passkey, an app and recovery codes sign somebody in', async ({ dashboard: admin, browser, baseURL, theme, viewport }, info) => {
	const username = unique(info, 'fay');
	const password = 'a long enough password';
	expect((await admin.request.post('/api/people', { data: { username, role: 'member', password } })).status()).toBe(201);
	const theirs = await browser.newContext({ baseURL: baseURL!, viewport, reducedMotion: 'reduce' });
	const page = await theirs.newPage();
	await page.addInitScript((t) => localStorage.setItem('mode-watcher-mode', t), theme);
	const touch = await authenticator(page);
	const home = page.getByRole('heading', { name: 'Projects', level: 1 });
	let codes: string[] = [];
	let secret = '';

	await test.step('add a passkey at the first sign-in', async () => {
		await type(page, username, password);
		await expect(page.getByRole('heading', { name: 'Next time without a password?' })).toBeVisible();
		await sound(page);
		await picture(page, info, 'passkey-offer');
		await touch(
			() => page.getByRole('button', { name: 'Add a passkey' }).click(),
			() => expect(page.getByRole('heading', { name: 'Your recovery codes' })).toBeVisible()
		);
		await picture(page, info, 'recovery-codes');
		codes = await keepCodes(page);
		await expect(home).toBeVisible();
	});

	await test.step('sign in by the passkey alone', async () => {
		await leave(theirs);
		await page.goto('/sign-in?to=/account/sessions');
		await expect(page.getByRole('button', { name: 'Use a passkey' })).toBeVisible();
		await sound(page);
		await picture(page, info, 'sign-in-passkey');
		await touch(
			() => page.getByRole('button', { name: 'Use a passkey' }).click(),
			() => expect(page.getByTestId('sessions')).toContainText('by a passkey')
		);
		await sound(page);
		await picture(page, info, 'sessions');
		// The browser offers it by itself, too, in the field for the username; also
		// on the way to where a command line is signed in.
		await leave(theirs);
		await touch(
			() => page.goto('/device'),
			() => expect(page.getByRole('heading', { name: 'Sign in a command line' })).toBeVisible()
		);
	});

	await test.step('add an app, and give the passkey a name', async () => {
		await page.goto('/account/factors');
		await page.getByRole('button', { name: /^Rename/ }).click();
		await page.getByRole('dialog').getByLabel('Name').fill('Work laptop');
		await sound(page);
		await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
		await expect(page.getByTestId('passkeys')).toContainText('Work laptop');
		await page.getByRole('button', { name: 'Add an app' }).click();
		await expect(page.getByRole('img', { name: 'QR code for your app' })).toBeVisible();
		secret = (await page.getByTestId('totp-secret').textContent())!;
		await sound(page);
		await picture(page, info, 'totp');
		const field = page.getByLabel('Code that the app shows now');
		await field.fill('000000');
		await page.getByRole('button', { name: 'Confirm' }).click();
		await expect(page.locator('[data-field-error]')).toContainText('is not what the app should show');
		await field.fill(code(secret));
		await page.getByRole('button', { name: 'Confirm' }).click();
		await expect(page.getByText('An app makes codes for you')).toBeVisible();
		await expect(page.getByText('10 of 10 left')).toBeVisible();
		await sound(page);
		await picture(page, info, 'factors');
	});

	await test.step('give a code after the password, and nothing before', async () => {
		await leave(theirs);
		await type(page, username, password);
		await expect(page.getByRole('heading', { name: 'One more step' })).toBeVisible();
		expect((await page.request.get('/api/session')).status(), 'half a sign-in is nobody').toBe(401);
		await sound(page);
		await picture(page, info, 'second-factor');
		await page.reload();
		await expect(page.getByRole('heading', { name: 'One more step' }), 'a reload goes on').toBeVisible();
		await page.getByRole('button', { name: 'Use a code of your app' }).click();
		await page.getByLabel('Code of your app').fill('000000');
		await page.getByRole('button', { name: 'Go on' }).click();
		await expect(page.getByRole('alert')).toContainText('the code is wrong');
		await sound(page);
		await page.getByLabel('Code of your app').fill(code(secret, 1));
		await page.getByRole('button', { name: 'Go on' }).click();
		await expect(home).toBeVisible();
	});

	await test.step('use the passkey after the password, and a recovery code once', async () => {
		await leave(theirs);
		await type(page, username, password);
		await touch(
			() => page.getByRole('button', { name: 'Use your passkey' }).click(),
			() => expect(home).toBeVisible()
		);
		for (const again of [false, true]) {
			await leave(theirs);
			await type(page, username, password);
			await page.getByRole('button', { name: 'Use a recovery code' }).click();
			await page.getByLabel('Recovery code').fill(codes[0]!);
			await page.getByRole('button', { name: 'Go on' }).click();
			await (again ? expect(page.getByRole('alert')).toContainText('the code is wrong') : expect(home).toBeVisible());
		}
		await page.getByRole('button', { name: 'Sign in as somebody else' }).click();
		await expect(page.getByLabel('Username')).toBeVisible();
	});

	await test.step('prove it again where an app asks for it', async () => {
		await page.goto('/sign-in?step_up=passkey&within=5m&to=/account/sessions');
		await expect(page, 'nobody is signed in').toHaveURL(/\/sign-in\?to=/);
		await type(page, username, password);
		await page.getByRole('button', { name: 'Use a recovery code' }).click();
		await page.getByLabel('Recovery code').fill(codes[1]!);
		await page.getByRole('button', { name: 'Go on' }).click();
		await expect(home).toBeVisible();
		await page.goto('/sign-in?step_up=passkey&within=5m&to=/account/sessions');
		await expect(page.getByText('asks for a passkey of the last 5m')).toBeVisible();
		await expect(page.getByRole('button', { name: 'Use a recovery code' })).toHaveCount(0);
		await sound(page);
		await picture(page, info, 'step-up');
		await touch(
			() => page.getByRole('button', { name: 'Use your passkey' }).click(),
			() => expect(page.getByTestId('sessions')).toContainText('and a passkey')
		);
	});

	await test.step('remove the passkey', async () => {
		await page.goto('/account/factors');
		await page.getByRole('button', { name: 'Remove Work laptop' }).click();
		await sound(page);
		await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click();
		await expect(page.getByText('No passkey yet')).toBeVisible();
	});

	await test.step('be told that an administrator reset it all', async () => {
		await admin.goto(`/people/${username}`);
		await expect(admin.getByText('An app that makes codes.')).toBeVisible();
		await sound(admin);
		await admin.getByRole('button', { name: 'Reset…' }).click();
		await admin.getByRole('alertdialog').getByRole('button', { name: 'Reset' }).click();
		await expect(admin.getByText('None: a password is enough')).toBeVisible();
		await expect(page, 'their session has ended').toHaveURL(/\/sign-in/);
		await type(page, username, password);
		await page.getByRole('button', { name: 'Not now' }).click();
		await page.goto('/account/factors');
		await expect(page.getByText('Your second factors were removed')).toBeVisible();
		await sound(page);
		await picture(page, info, 'factors-reset');
		await page.getByRole('button', { name: 'I have read it' }).click();
		await expect(page.getByText('Your second factors were removed')).toHaveCount(0);
		await sound(page);
	});
	await theirs.close();
	expect((await admin.request.delete(`/api/people/${username}`)).status()).toBe(204);
});

test('who must have a second factor sets one up before anything else', async ({ page }, info) => {
	const link = setupLinks.required!;
	const password = 'a long enough password';
	await page.goto(link);
	await page.getByLabel('Username').fill('ana');
	await page.getByLabel('Password', { exact: true }).fill(password);
	await page.getByLabel('Password again').fill(password);
	await page.getByRole('button', { name: 'Create administrator' }).click();
	await expect(page.getByRole('heading', { name: 'Set up a second factor' })).toBeVisible();
	await sound(page);
	await picture(page, info, 'set-up-factor');
	await page.goto(new URL('/projects/new', link).href);
	await expect(page, 'nobody is in').toHaveURL(/\/sign-in/);
	await expect(page.getByRole('heading', { name: 'Set up a second factor' }), 'and it goes on there').toBeVisible();
	await page.getByRole('button', { name: 'Use an app that makes codes' }).click();
	const secret = (await page.getByTestId('totp-secret').textContent())!;
	await sound(page);
	await page.getByLabel('Code that the app shows now').fill(code(secret));
	await page.getByRole('button', { name: 'Confirm' }).click();
	await keepCodes(page);
	await expect(page).toHaveURL(/\/projects\/new$/);
	await page.goto(new URL('/account/factors', link).href);
	await page.getByRole('button', { name: 'Remove' }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click();
	await expect(page.getByText('your role must have a second factor')).toBeVisible();
});
