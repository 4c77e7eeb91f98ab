import { admin, expect, picture, sound, test, unique } from './berth.ts';

test('sign in, with the wrong password first, and out', async ({ page }, info) => {
	await page.goto('/images');
	await expect(page).toHaveURL(/\/sign-in\?next=%2Fimages/);
	await sound(page);
	await page.getByLabel('Username').fill(admin.username);
	await page.getByLabel('Password').fill('not the password');
	await page.getByRole('button', { name: 'Sign in' }).click();
	await expect(page.getByRole('alert')).toBeVisible();
	await expect(page.getByLabel('Password')).toBeFocused();
	await sound(page);
	await page.getByLabel('Password').fill(admin.password);
	await page.keyboard.press('Enter');
	await expect(page.getByRole('heading', { name: 'Next time without a password?' })).toBeVisible();
	await sound(page);
	await page.getByRole('button', { name: 'Not now' }).click();
	await expect(page, 'the page that was asked for').toHaveURL(/\/images$/);

	await page.getByRole('button', { name: 'Your account' }).last().click();
	await page.getByRole('menuitem', { name: 'Sign out' }).click();
	await expect(page).toHaveURL(/\/sign-in\?state=signed_out$/);
	expect((await page.request.get('/api/session')).status()).toBe(401);
});

test('another site cannot be the page after signing in', async ({ dashboard: page }) => {
	await page.goto('/sign-in?next=//example.com/');
	await page.getByLabel('Username').fill(admin.username);
	await page.getByLabel('Password').fill(admin.password);
	await page.getByRole('button', { name: 'Sign in' }).click();
	await expect(page.getByRole('heading', { name: 'Projects', level: 1 })).toBeVisible();
	expect(new URL(page.url()).hostname).toBe('localhost');
});

test('a person is added, limited, given a password and removed', async ({ dashboard: page, browser, baseURL }, info) => {
	const username = unique(info, 'carla');
	await page.goto('/people');
	await page.getByRole('button', { name: 'Add person' }).click();
	const dialog = page.getByRole('dialog');
	await dialog.getByLabel('Username').fill(username);
	const password = await dialog.getByRole('textbox', { name: 'First password' }).inputValue();
	expect(password.length).toBeGreaterThan(20);
	await sound(page);
	await dialog.getByRole('button', { name: 'Add person' }).click();
	await expect(page.getByTestId('people')).toContainText(username);
	await sound(page);

	const theirs = await browser.newContext({ baseURL: baseURL! });
	const member = await theirs.newPage();
	await member.goto('/sign-in');
	await member.getByLabel('Username').fill(username);
	await member.getByLabel('Password').fill(password);
	await member.getByRole('button', { name: 'Sign in' }).click();
	await member.getByRole('button', { name: 'Not now' }).click();
	await expect(member.getByRole('heading', { name: 'Projects', level: 1 })).toBeVisible();
	await member.goto('/people');
	await expect(member.getByRole('heading', { name: 'For administrators' })).toBeVisible();
	await sound(member);
	expect((await member.request.get('/api/people')).status()).toBe(403);

	await page.getByRole('link', { name: username }).click();
	await expect(page.getByTestId('sessions').getByRole('button', { name: /End the session/ }).first()).toBeVisible();
	await sound(page);
	await page.getByRole('button', { name: 'Disable…' }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Disable' }).click();
	await expect(page.locator('main header').getByText('disabled')).toBeVisible();
	await member.goto('/');
	await expect(member, 'who is disabled is signed out at once').toHaveURL(/\/sign-in/);
	await theirs.close();

	await page.getByRole('button', { name: 'Remove…' }).click();
	await page.getByRole('alertdialog').getByRole('textbox').fill(username);
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove person' }).click();
	await expect(page).toHaveURL(/\/people$/);
	await expect(page.getByTestId('people')).not.toContainText(username);
});

test('an API token is shown once and works until it is removed', async ({ dashboard: page, playwright, baseURL }, info) => {
	const name = unique(info, 'ci');
	await page.goto('/account/tokens');
	await page.getByRole('button', { name: 'New token' }).click();
	await page.getByLabel('Name').fill(name);
	await page.getByLabel('It may').selectOption('read');
	await page.getByRole('button', { name: 'Make token' }).click();
	const token = (await page.getByTestId('token').textContent())!.trim();
	expect(token).toMatch(/^berth_/);
	await sound(page);
	await page.getByRole('button', { name: 'Done' }).click();
	await expect(page.getByTestId('tokens')).toContainText(name);
	await expect(page.locator('body')).not.toContainText(token);
	await sound(page);

	const script = await playwright.request.newContext({ baseURL: baseURL!, extraHTTPHeaders: { Authorization: `Bearer ${token}` } });
	expect((await script.get('/api/projects')).status()).toBe(200);
	expect((await script.post('/api/projects', { data: { name: 'no', image: 'no' } })).status()).toBe(403);
	await page.getByRole('button', { name: `Remove ${name}` }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove token' }).click();
	await expect(page.getByText(`Removed ${name}`)).toBeVisible();
	expect((await script.get('/api/projects')).status()).toBe(401);
	await script.dispose();
});

test('a session elsewhere is ended from here', async ({ dashboard: page, playwright, baseURL }) => {
	const elsewhere = await playwright.request.newContext({ baseURL: baseURL!, userAgent: 'elsewhere/1.0' });
	expect((await elsewhere.post('/api/session', { data: admin })).status()).toBe(200);
	await page.goto('/account/sessions');
	await expect(page.getByText('this one')).toBeVisible();
	await sound(page);
	await page.getByRole('button', { name: /End the session of elsewhere/ }).first().click();
	await expect(page.getByText('The session has ended')).toBeVisible();
	expect((await elsewhere.get('/api/session')).status()).toBe(401);
	await elsewhere.dispose();
});

test('a secret can be set and replaced, and is shown on request alone', async ({ dashboard: page }, info) => {
	const context = unique(info, 'vault');
	await page.goto('/secrets');
	await page.getByRole('button', { name: 'New secret' }).first().click();
	await page.getByLabel('Context').fill(context);
	await page.getByLabel('Name').fill('database-password');
	await page.getByRole('textbox', { name: 'Value' }).fill('hush-hush');
	await sound(page);
	await page.getByRole('button', { name: 'Set secret' }).click();
	const shelf = page.getByRole('region', { name: context });
	await expect(shelf).toContainText('version 1');
	await expect(page.locator('body')).not.toContainText('hush-hush');
	await sound(page);
	await shelf.getByRole('button', { name: 'Replace database-password' }).click();
	await page.getByRole('textbox', { name: 'Value' }).fill('hush-again');
	await page.getByRole('button', { name: 'Replace', exact: true }).click();
	await expect(shelf).toContainText('version 2');
	await shelf.getByRole('button', { name: 'Show database-password' }).click();
	await expect(page.getByTestId('secret-value')).toHaveText('hush-again');
	await sound(page);
	await picture(page, info, 'secret-shown');
	await page.getByRole('dialog').getByRole('button', { name: 'Close', exact: true }).click();
	await expect(page.locator('body')).not.toContainText('hush-again');
	await shelf.getByRole('button', { name: 'Remove database-password' }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove secret' }).click();
	await expect(shelf).toHaveCount(0);
});

test('an account for another registry is kept and removed', async ({ dashboard: page }, info) => {
	const host = `${unique(info, 'registry')}.example.com`;
	await page.goto('/registries');
	await page.getByRole('button', { name: 'Add account' }).click();
	await page.getByRole('textbox', { name: 'Registry' }).fill(host);
	await page.getByLabel('Username').fill('berth');
	await page.getByLabel('Password or token').fill('hush-hush');
	await sound(page);
	await page.getByRole('button', { name: 'Save' }).click();
	await expect(page.getByTestId('registries')).toContainText(host);
	await sound(page);
	await page.getByRole('button', { name: `Remove the account for ${host}` }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove account' }).click();
	await expect(page.getByText(host).first()).toBeVisible();
	await expect(page.locator('main')).not.toContainText(host);
});
