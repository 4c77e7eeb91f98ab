import { expect, picture, sound, test, unique } from './berth.ts';

const password = 'a password that is long enough';

test('a list says who administers, and acts at once', async ({ dashboard: page, browser, baseURL }, info) => {
	const username = unique(info, 'carol');
	const made = await page.request.post('/api/people', { data: { username, role: 'member', password } });
	expect(made.status(), await made.text()).toBe(201);
	const theirs = await browser.newContext({ baseURL: baseURL! });
	const carol = await theirs.newPage();
	const signIn = async () => {
		await carol.getByLabel('Username').fill(username);
		await carol.getByLabel('Password').fill(password);
		await carol.getByRole('button', { name: 'Sign in' }).click();
	};
	const card = page.getByRole('region', { name: 'Who administers' });
	const dialog = page.getByRole('dialog', { name: 'Who administers' });

	try {
		await test.step('who is not on it is told so, and whom to ask', async () => {
			await carol.goto('/sign-in?to=/people');
			await signIn();
			await carol.getByRole('button', { name: 'Not now' }).click();
			await expect(carol.getByText('Only administrators see people')).toBeVisible();
			await expect(carol.getByText(`You are signed in as ${username}, with an account of this Berth, and do not administer it. Ask an administrator of this Berth`)).toBeVisible();
			await sound(carol);
			await picture(carol, info, 'admins-not-allowed');
			const answer = await carol.goto('/people');
			expect(answer!.status()).toBe(403);
			await expect(carol.getByRole('heading', { name: 'For administrators' })).toBeVisible();
			await expect(carol.getByText(`You are signed in as ${username}, with an account of this Berth`)).toBeVisible();
			await sound(carol);
			await picture(carol, info, 'admins-403');
		});

		await test.step('a bad entry is refused by its name', async () => {
			await page.goto('/system/sign-in');
			await expect(card).toContainText('Everybody’s own role says who administers');
			await card.getByRole('button', { name: 'Make a list' }).click();
			await dialog.getByLabel('List').fill(`local:admin\n${username}`);
			await dialog.getByRole('button', { name: 'Save' }).click();
			await expect(dialog.locator('[data-field-error]')).toContainText(`has "${username}", which does not say at which provider`);
			await sound(page);
			await dialog.getByLabel('List').fill('nowhere:eve');
			await dialog.getByRole('button', { name: 'Save' }).click();
			await expect(dialog.locator('[data-field-error]')).toContainText('there is no provider named "nowhere"');
		});

		await test.step('whoever is put on it administers with the next request', async () => {
			await dialog.getByLabel('List').fill(`local:admin\nlocal:${username}\nlocal:nobody-yet`);
			await picture(page, info, 'admins-dialog');
			await dialog.getByRole('button', { name: 'Save' }).click();
			await expect(dialog).toHaveCount(0);
			await expect(card.getByTestId('admin-entries')).toContainText(`is ${username}`);
			await expect(card.getByTestId('admin-entries')).toContainText('waits for them to sign in');
			await expect(card.getByTestId('admin-people')).toContainText('being the one who always does');
			await sound(page);
			await picture(page, info, 'admins-list');
			await carol.goto('/people');
			await expect(carol.getByTestId('people')).toContainText(username);
			await page.goto(`/people/${username}`);
			await expect(page.getByText('A list says who administers')).toBeVisible();
		});

		await test.step('and whoever is taken off it does not, on an open page either', async () => {
			await page.request.put('/api/administrators', { data: { entries: ['local:admin'] } });
			expect((await carol.request.get('/api/people')).status()).toBe(403);
			expect((await carol.request.get('/api/session')).status(), 'still signed in').toBe(200);
			await carol.goto('/system/sign-in');
			await carol.getByRole('button', { name: 'Sign in as somebody else' }).click();
			await expect(carol).toHaveURL(/\/sign-in\?other=1&to=%2Fsystem%2Fsign-in$/);
			expect((await carol.request.get('/api/session')).status()).toBe(401);
		});

		await test.step('it is in the audit', async () => {
			await page.goto('/audit');
			await expect(page.getByText('changed who administers').first()).toBeVisible();
		});
	} finally {
		await page.request.put('/api/administrators', { data: { entries: [] } });
		await page.request.delete(`/api/people/${username}`);
		await theirs.close();
	}
});

test('a second factor is not required by whom it would lock out', async ({ dashboard: page }, info) => {
	await page.goto('/system/sign-in');
	const rule = page.getByTestId('second-factor-rule');
	await expect(rule.getByRole('radio', { name: 'Nobody' })).toBeChecked();
	await rule.getByRole('radio', { name: 'Administrators', exact: true }).click();
	await expect(rule.getByRole('alert')).toContainText('add a second factor of your own first');
	await rule.getByRole('radio', { name: 'Members and administrators' }).click();
	await expect(rule.getByRole('alert')).toContainText('add a second factor of your own first');
	await expect(rule.getByRole('radio', { name: 'Nobody' })).toBeChecked();
	await sound(page);
	await rule.scrollIntoViewIfNeeded();
	await picture(page, info, 'second-factor-rule');
});
