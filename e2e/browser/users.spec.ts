import { expect, makeStage, picture, sound, test, unique, unproved } from './berth.ts';

const password = 'a quay that is long enough';

test('a user finds the apps that they may enter, and nothing else', async ({ dashboard: admin, browser, baseURL }, info) => {
	test.slow();
	const [username, open, shut] = [unique(info, 'una'), unique(info, 'tea'), unique(info, 'rum')];
	const everybody = await makeStage(admin, open);
	await everybody.live('1');
	const staff = await makeStage(admin, shut, { access: { rules: [{ allow: { administrators: true } }] } });
	await staff.live('1');
	const context = await browser.newContext({ baseURL: baseURL! });
	const page = await context.newPage();

	try {
		await test.step('an administrator adds them', async () => {
			await admin.goto('/people');
			await admin.getByRole('button', { name: 'Add person' }).first().click();
			const dialog = admin.getByRole('dialog', { name: 'Add a person' });
			await dialog.getByLabel('Username').fill(username);
			await dialog.getByLabel('Role').selectOption('user');
			await dialog.getByLabel('First password').fill(password);
			await sound(admin);
			await picture(admin, info, 'users-add');
			// An administrator is added by who has just proved who they are.
			await unproved(admin, '**/api/people', () => dialog.getByRole('button', { name: 'Add person' }).click());
			await expect(dialog.getByRole('alert')).toContainText('Nobody was added');
			await dialog.getByRole('button', { name: 'Add person' }).click();
			await expect(dialog).toHaveCount(0);
		});

		await test.step('they come to their apps', async () => {
			await page.goto('/sign-in');
			await page.getByLabel('Username').fill(username);
			await page.getByLabel('Password').fill(password);
			await page.getByRole('button', { name: 'Sign in' }).click();
			await page.getByRole('button', { name: 'Not now' }).click();
			await expect(page.getByRole('heading', { name: 'Apps', level: 1 })).toBeVisible();
			await expect(page.getByTestId('apps').getByText(`${open}/prod`)).toBeVisible();
			await expect(page.getByTestId('apps').getByText(`${shut}/prod`)).toHaveCount(0);
			await expect(page.getByRole('navigation', { name: 'Main' }).getByRole('link')).toHaveText(['Apps', 'Account']);
			await sound(page);
			await picture(page, info, 'users-apps');
		});

		await test.step('and into one of them', async () => {
			const link = page.getByTestId('apps').getByRole('link', { name: `${open}/prod` });
			await expect(link).toHaveAttribute('href', `${everybody.app}/`);
		});

		await test.step('what is not theirs says so, and the API refuses it', async () => {
			await page.goto(`/projects/${open}`);
			await expect(page.getByText('Only members and administrators see this')).toBeVisible();
			await sound(page);
			await picture(page, info, 'users-not-allowed');
			expect((await page.request.get('/api/projects')).status()).toBe(403);
			await page.getByRole('link', { name: 'Go to your apps' }).click();
			await expect(page.getByRole('heading', { name: 'Apps', level: 1 })).toBeVisible();
		});

		await test.step('their account is theirs, with tokens that open apps', async () => {
			await page.getByRole('link', { name: 'Account' }).click();
			await expect(page.getByRole('heading', { name: 'Account', level: 1 })).toBeVisible();
			for (const tab of ['/account/factors', '/account/identities', '/account/sessions', '/account/tokens']) {
				await page.goto(tab);
				await expect(page.locator('main [role=status][aria-label^=Loading]')).toHaveCount(0);
				await expect(page.locator('main [role=alert]')).toHaveCount(0);
				await sound(page);
			}
			await page.getByRole('button', { name: 'New token' }).click();
			const dialog = page.getByRole('dialog', { name: 'New API token' });
			await dialog.getByLabel('Name').fill('feed');
			await expect(dialog.getByLabel('It may')).toHaveCount(0);
			await picture(page, info, 'users-token');
			await dialog.getByRole('button', { name: 'Make token' }).click();
			await expect(page.getByTestId('token')).toContainText('berth_');
			await page.getByRole('button', { name: 'Done' }).click();
			await expect(page.getByTestId('tokens')).toContainText('read');
		});

		await test.step('made a member, they see what runs, and read who enters', async () => {
			await admin.goto(`/people/${username}`);
			await admin.getByLabel('Role').selectOption('member');
			await expect(admin.getByText(`${username} has the role of a member`)).toBeVisible();
			await page.goto('/');
			await expect(page.getByRole('heading', { name: 'Projects', level: 1 })).toBeVisible();
			await page.goto('/apps');
			await expect(page.getByTestId('apps').getByText(`${open}/prod`)).toBeVisible();
			await sound(page);
			await picture(page, info, 'users-apps-member');
			await page.goto(`${staff.path}/settings`);
			const who = page.getByTestId('who-may-enter');
			await expect(who).toContainText('Every request: administrators');
			await expect(who).toContainText('Only administrators change who may enter');
			await expect(who.getByRole('radio')).toHaveCount(0);
			await sound(page);
			await who.scrollIntoViewIfNeeded();
			await picture(page, info, 'users-access-member');
			await page.getByRole('button', { name: 'Save', exact: true }).click();
			await expect.poll(async () => (await staff.spec()).access).toEqual({ rules: [{ allow: { administrators: true } }] });
		});

		await test.step('made a user again, their page turns at once', async () => {
			await page.goto('/');
			await expect(page.getByTestId('connection')).toHaveAttribute('data-state', 'live');
			await admin.getByLabel('Role').selectOption('user');
			await expect(page.getByRole('heading', { name: 'Apps', level: 1 })).toBeVisible();
		});
	} finally {
		await admin.request.delete(`/api/people/${username}`);
		await everybody.remove();
		await staff.remove();
		await context.close();
	}
});
