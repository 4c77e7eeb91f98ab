import { expect, makeStage, picture, sound, test, unique } from './berth.ts';
import { looks } from './looks.ts';

test('who may enter is chosen, seen before it is saved, and written as rules', async ({ dashboard: page }, info) => {
	test.slow();
	const project = unique(info, 'door');
	const username = unique(info, 'dora');
	const group = unique(info, 'ops');
	const made = await page.request.post('/api/people', { data: { username, password: 'a door that is long', role: 'member' } });
	expect(made.status(), await made.text()).toBe(201);
	expect((await page.request.post('/api/groups', { data: { name: group, members: [username] } })).status()).toBe(201);
	const provider = unique(info, 'corp').slice(0, 31);
	const added = await page.request.post('/api/providers', { data: { slug: provider, preset: 'oidc', label: 'The company', issuer: 'https://id.example.com', client_id: 'berth', client_secret: 's3cret', enabled: true } });
	expect(added.status(), await added.text()).toBe(201);
	const stage = await makeStage(page, project, { access: { rules: [{ allow: { public: true } }] } });
	const preview = page.getByTestId('access-preview');
	const theirs = preview.getByRole('listitem').filter({ hasText: username });
	const save = page.getByRole('button', { name: 'Save', exact: true });

	await test.step('a public stage has an open padlock', async () => {
		await page.goto(`/projects/${project}`);
		await expect(page.getByTestId('stage-prod').getByTestId('who-enters')).toContainText('Everybody');
		await expect(page.getByTestId('who-enters').getByLabel('Open:')).toBeVisible();
		await sound(page);
	});

	await test.step('a group, by the keyboard', async () => {
		await page.goto(`${stage.path}/settings`);
		await expect(page.getByRole('radio', { name: 'Everybody' })).toBeChecked();
		await expect(preview.getByRole('listitem').first()).toHaveAttribute('data-allowed', 'true');
		await page.getByRole('radio', { name: 'These people and groups' }).check();
		await expect(page.getByText('Name somebody, or a group.')).toBeVisible();
		await page.getByLabel('Groups', { exact: true }).fill(group);
		await page.keyboard.press('Enter');
		await expect(page.getByRole('button', { name: `Remove ${group}` })).toBeVisible();
		await expect(theirs).toHaveAttribute('data-allowed', 'true');
		await expect(preview.getByRole('listitem').first(), 'nobody without signing in').toHaveAttribute('data-allowed', 'false');
		await expect(preview.getByRole('listitem').filter({ hasText: 'admin' }).first()).toHaveAttribute('data-allowed', 'false');
		await sound(page);
		await picture(page, info, 'access');
		await save.click();
		await expect.poll(async () => (await stage.spec()).access).toEqual({ rules: [{ allow: { groups: [group] } }] });
		await expect(page.getByTestId('who-enters').first()).toContainText(group);
		await expect(page.getByTestId('who-enters').getByLabel('Open:')).toHaveCount(0);
	});

	await test.step('rules, in an order', async () => {
		await page.goto(`${stage.path}/settings`);
		// Turned to a phone's width, the list of tabs scrolls to the one that is open.
		await page.setViewportSize(looks.phone.viewport);
		await expect(page.getByRole('link', { name: 'Settings', exact: true })).toBeInViewport({ ratio: 1 });
		await page.setViewportSize(looks.light.viewport);
		await page.getByRole('radio', { name: 'By rules' }).check();
		const rules = page.getByTestId('rules').getByRole('listitem', { name: /^Rule/ });
		await expect(rules).toHaveCount(1);
		await expect(rules.first().getByText(group), 'the choice of before is the first rule').toBeVisible();
		await page.getByRole('button', { name: 'Add rule' }).click();
		const health = rules.nth(1);
		await health.getByLabel('Paths below').fill('health');
		await page.keyboard.press('Enter');
		await health.getByLabel('Everybody').check();
		await health.getByLabel('Who has signed in').uncheck();
		await expect(health.getByText(/is no path such as/)).toBeVisible();
		await health.getByRole('button', { name: 'Remove health' }).click();
		await health.getByLabel('Paths below').fill('/health');
		await page.keyboard.press('Enter');
		await rules.first().getByLabel('How surely').selectOption('passkey');
		await rules.first().getByLabel('Within the last').fill('5m');
		await rules.first().getByRole('button', { name: 'Add claim' }).click();
		await rules.first().getByLabel('Provider of claim 1 of rule 1').selectOption('');
		await rules.first().getByLabel('Claim 1 of rule 1', { exact: true }).fill('department');
		await rules.first().getByLabel('Value of claim 1 of rule 1').fill('sales');
		await expect(theirs).toContainText('with a passkey of the last 5m');
		await preview.getByLabel('Path of the request').fill('/health');
		await expect(theirs, 'the rule before decides').toContainText('with a passkey');
		await health.getByRole('button', { name: 'Move rule 2 up' }).focus();
		await page.keyboard.press('Enter');
		await expect(rules.first().getByRole('button', { name: 'Remove /health' })).toBeVisible();
		await expect(rules.first().getByRole('button', { name: 'Move rule 1 down' }), 'the keyboard stays with the rule').toBeFocused();
		await expect(preview.getByRole('listitem').first(), 'now everybody').toHaveAttribute('data-allowed', 'true');
		await sound(page);
		await page.getByTestId('rules').scrollIntoViewIfNeeded();
		await picture(page, info, 'access-rules');
		await save.click();
		await expect(rules.nth(1).getByText(/is needed, since any provider may tell a claim of that name: the providers are/)).toBeVisible();
		await rules.nth(1).getByLabel('Provider of claim 1 of rule 2').selectOption(provider);
		await sound(page);
		await picture(page, info, 'access-claim');
		await save.click();
		await expect.poll(async () => (await stage.spec()).access).toEqual({
			rules: [
				{ paths: ['/health'], allow: { public: true } },
				{ allow: { groups: [group], claims: [{ name: 'department', operator: 'equals', value: 'sales', provider }] }, strength: 'passkey', within: '5m0s' }
			]
		});
	});

	await test.step('why one request is let in, and another not', async () => {
		await stage.live('1');
		await page.goto(`/explain?url=${encodeURIComponent(`http://${project}.localhost/health`)}`);
		await page.getByRole('button', { name: 'Ask' }).click();
		const said = page.getByTestId('explanation');
		await expect(said.getByRole('listitem').first()).toHaveAttribute('aria-current', 'true');
		await expect(said).toContainText('GET /health');
		await page.getByLabel('Address').fill(`http://${project}.localhost/x`);
		await page.getByLabel('As', { exact: true }).fill(username);
		await page.getByRole('button', { name: 'Ask' }).click();
		await expect(said).toContainText('may not see');
		await expect(said).toContainText('led to prove more');
		await page.getByLabel('Who signed in with').selectOption('passkey');
		await page.getByRole('button', { name: 'Ask' }).click();
		await expect(said).toContainText(`X-Berth-User: ${username}`);
		await expect(said).toContainText(`X-Berth-Groups: ${group}`);
		await sound(page);
		await picture(page, info, 'access-check');
		const example = page.getByTestId('proxy-example');
		await example.getByLabel('Proxy').selectOption('caddy');
		await example.getByRole('button', { name: 'Show the configuration' }).click();
		await expect(example).toContainText(`${project}.localhost {`);
		await expect(example).toContainText('BERTH_TRUST_PROXY');
		await expect(example).toContainText('BERTH_FORWARD_AUTH does not name caddy yet');
		await sound(page);
		await picture(page, info, 'access-proxy');
		await page.getByLabel('Address').fill('http://nothing.localhost/');
		await page.getByRole('button', { name: 'Ask' }).click();
		await expect(page.getByText(/nothing is served at/i)).toBeVisible();
	});

	await test.step('a new stage lets in who has signed in', async () => {
		await page.goto(`/projects/${project}/stages/new`);
		await expect(page.getByRole('radio', { name: 'Who has signed in' })).toBeChecked();
	});
	await stage.remove();
	await page.request.delete(`/api/providers/${provider}?force=true`);
	await page.request.delete(`/api/groups/${group}`);
	await page.request.delete(`/api/people/${username}`);
});

test('a group is made, filled and removed', async ({ dashboard: page }, info) => {
	const username = unique(info, 'gina');
	const group = unique(info, 'crew');
	expect((await page.request.post('/api/people', { data: { username, password: 'a group that is long', role: 'member' } })).status()).toBe(201);
	await page.goto('/groups');
	await page.getByRole('button', { name: 'New group' }).first().click();
	const dialog = page.getByRole('dialog');
	await dialog.getByLabel('Name').fill(group);
	await dialog.getByLabel('Description').fill('On call');
	await dialog.getByLabel('People').fill('nobody-there ');
	await dialog.getByRole('button', { name: 'Make group' }).click();
	await expect(dialog.getByText(/nobody is named/i)).toBeVisible();
	await sound(page);
	await dialog.getByRole('button', { name: 'Remove nobody-there' }).click();
	await dialog.getByRole('button', { name: 'Make group' }).click();
	const row = page.getByTestId('groups').getByRole('listitem').filter({ hasText: group });
	await expect(row).toContainText('Nobody yet');

	await row.getByRole('button', { name: `Change the group ${group}` }).click();
	await dialog.getByLabel('People').fill(username);
	const meanwhile = await page.request.patch(`/api/groups/${group}`, { data: { version: 1, description: 'On call at night' } });
	expect(meanwhile.status(), await meanwhile.text()).toBe(200);
	await dialog.getByRole('button', { name: 'Save' }).click();
	const conflict = page.getByRole('alertdialog');
	await expect(conflict.getByTestId('theirs')).toContainText('On call at night');
	await conflict.getByRole('button', { name: 'Overwrite theirs' }).click();
	await expect(row).toContainText(username);
	await sound(page);
	await picture(page, info, 'groups');

	await row.getByRole('link', { name: username }).click();
	await expect(page.getByTestId('person-groups')).toContainText(group);
	await sound(page);
	await page.goto('/groups');
	await row.getByRole('button', { name: `Remove the group ${group}` }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove group' }).click();
	await expect(page.locator('main')).not.toContainText(group);
	await page.request.delete(`/api/people/${username}`);
});

test('an app gets assertions made out to the audience that is typed', async ({ dashboard: page }, info) => {
	const stage = await makeStage(page, unique(info, 'aud'));
	const field = page.getByLabel('Audience of the assertion');
	const save = page.getByRole('button', { name: 'Save', exact: true });
	const saved = async () => (await stage.spec()).access;
	/** Saving leads on to the stage's page; back from there. */
	const again = async () => {
		await expect(page).toHaveURL(stage.path);
		await page.goto(`${stage.path}/settings`);
	};
	await page.goto(`${stage.path}/settings`);
	await field.fill('https://shop.example.com');
	await sound(page);
	await picture(page, info, 'audience');
	await save.click();
	await expect.poll(saved).toEqual({ rules: [{ allow: { public: true } }], audience: 'https://shop.example.com' });
	await again();
	await expect(field).toHaveValue('https://shop.example.com');
	const tokens = page.getByLabel('Tokens of');
	await tokens.fill('forge');
	await sound(page);
	await save.click();
	await expect.poll(saved).toEqual({ rules: [{ allow: { public: true } }], audience: 'https://shop.example.com', tokens_of: 'forge' });
	await again();
	await expect(tokens).toHaveValue('forge');
	await tokens.fill('');
	await field.fill('');
	await save.click();
	await expect.poll(saved).toEqual({ rules: [{ allow: { public: true } }] });
	await stage.remove();
});
