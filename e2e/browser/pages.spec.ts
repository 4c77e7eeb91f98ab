import { expect, image, sound, test, unique } from './berth.ts';

for (const [title, path] of [
	['Projects', '/'],
	['New project', '/projects/new'],
	['Images', '/images'],
	[image, `/images/${image}`],
	['Secrets', '/secrets'],
	['Activity', '/activity'],
	['System', '/system'],
	['People', '/people'],
	['Registry accounts', '/registries'],
	['Account', '/account']
] as const)
	test(`${path} is sound`, async ({ dashboard: page }) => {
		await page.goto(path);
		await expect(page.getByRole('heading', { level: 1, name: title, exact: true })).toBeVisible();
		await expect(page.locator('main [role=status][aria-label^=Loading]')).toHaveCount(0);
		await sound(page);
	});

test('what the engine can not do is told in words, each once', async ({ dashboard: page }) => {
	const { engine } = (await (await page.request.get('/api/system')).json()) as { engine: { warnings: string[] } };
	await page.goto('/system');
	await expect(page.getByText('Socket', { exact: true })).toBeVisible();
	await expect(page.locator('main [data-tone=warn]')).toHaveText(engine.warnings.map((w) => new RegExp(w, 'i')));
});

test('what nothing needs, and what is not Berth’s, is shown and explained', async ({ dashboard: page }) => {
	const { kept } = (await (await page.request.get('/api/system/leftovers')).json()) as { kept: number };
	await page.goto('/system');
	await expect(page.getByRole('region', { name: 'Images nothing needs' })).toContainText(kept === 1 ? '1 image that Berth pulled is needed.' : `${kept} images that Berth pulled are needed.`);
	const others = page.getByRole('region', { name: 'Other containers', exact: true });
	await expect(others).toContainText('never touches them');
	await expect(others.getByRole('button')).toHaveCount(0);
});

test('what is not there says so', async ({ dashboard: page }) => {
	await page.goto('/projects/no-such-project');
	await expect(page.locator('main')).toContainText('Not found');
	await sound(page);
	await page.goto('/no/such/page');
	await expect(page.getByText('There is no such page')).toBeVisible();
	await sound(page);
});

test.describe('while the server is not well', () => {
	test.use({ provoked: [500, 503] });

	test('a list says that it could not be loaded, then that it may be old, and is asked for again', async ({ dashboard: page }, info) => {
		const project = unique(info, 'unwell');
		const slot = `/api/secrets/${project}/STAYS_READABLE`;
		const list = /\/api\/secrets\?/;
		const fail = () => page.route(list, (route) => route.fulfill({ status: 500, json: { title: 'Internal Server Error', detail: 'the database is busy' } }));
		expect((await page.request.post('/api/projects', { data: { name: project, image } })).status()).toBe(201);
		try {
			expect((await page.request.put(slot, { data: { value: 'never to be seen' } })).ok()).toBe(true);
			const again = page.getByRole('main').getByRole('button', { name: 'Try again' });
			const found = page.getByRole('main').getByText('STAYS_READABLE');
			await page.route('**/api/events', (route) => route.fulfill({ status: 503 }));
			await fail();
			await page.goto('/secrets');
			await expect(page.getByRole('alert')).toContainText('Could not load the secrets');
			await expect(page.getByRole('alert')).toContainText('the database is busy');
			await expect(page.getByTestId('connection')).toContainText('Connection lost');
			await sound(page);

			await page.unroute(list);
			await again.click();
			await expect(found).toBeVisible();
			await expect(page.getByRole('alert')).toHaveCount(0);

			// Who may have missed something asks again, once told of what happens.
			await fail();
			await page.unroute('**/api/events');
			await page.evaluate(() => dispatchEvent(new Event('online')));
			await expect(page.getByTestId('connection')).toHaveAttribute('data-state', 'live');
			await expect(page.getByTestId('connection')).toBeEmpty();
			await expect(page.getByRole('alert')).toContainText('What you see may be old: the database is busy');
			await expect(found).toBeVisible();
			await sound(page);

			await page.unroute(list);
			await again.click();
			await expect(page.getByRole('alert')).toHaveCount(0);
			await expect(found).toBeVisible();
		} finally {
			await page.request.delete(slot);
			await page.request.delete(`/api/projects/${project}`);
		}
	});
});

test('the pushed image and its tags are listed', async ({ dashboard: page }) => {
	await page.goto('/images');
	await page.getByRole('link', { name: image, exact: true }).click();
	for (const tag of ['1', '2', 'broken']) await expect(page.getByTestId('tags').getByText(tag, { exact: true })).toBeVisible();
});

test('the activity tells what happened, live', async ({ dashboard: page, cookies: _ }, info) => {
	const name = unique(info, 'seen');
	await page.goto('/activity');
	await expect(page.getByTestId('connection')).toHaveAttribute('data-state', 'live');
	const made = await page.request.post('/api/projects', { data: { name, image } });
	expect(made.status()).toBe(201);
	await expect(page.getByTestId('activity')).toContainText(`created project ${name}`);
	await page.goto(`/activity?project=${name}`);
	await expect(page.getByTestId('activity').locator('li')).toHaveCount(1);
	expect((await page.request.delete(`/api/projects/${name}`)).status()).toBe(200);
});

test('the palette goes anywhere by keyboard', async ({ dashboard: page }) => {
	await page.goto('/');
	await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
	await page.keyboard.press('Control+k');
	await page.getByPlaceholder('Go to a project, stage or page…').fill('secr');
	await sound(page);
	await page.keyboard.press('Enter');
	await expect(page).toHaveURL(/\/secrets$/);
	await expect(page.getByRole('dialog')).toHaveCount(0);
});

test('the theme is switched and kept', async ({ dashboard: page }, info) => {
	await page.goto('/');
	const dark = () => page.evaluate(() => document.documentElement.classList.contains('dark'));
	if (info.project.name === 'phone') await page.getByRole('button', { name: 'Open menu' }).click();
	const before = await dark();
	await page.getByRole('button', { name: /Use the (light|dark) theme/ }).last().click();
	await expect.poll(dark).toBe(!before);
	await sound(page);
});

test('a tab keeps one event stream', async ({ dashboard: page }) => {
	// One event stream a tab: more would use up the six connections that a
	// browser gives one host over HTTP/1.1.
	let streams = 0;
	page.on('request', (r) => (streams += new URL(r.url()).pathname === '/api/events' ? 1 : 0));
	await page.goto('/');
	await expect(page.getByTestId('connection')).toHaveAttribute('data-state', 'live');
	for (const place of ['Images', 'Activity', 'System', 'Projects']) {
		await page.keyboard.press('Control+k');
		await page.getByPlaceholder('Go to a project, stage or page…').fill(place);
		await page.keyboard.press('Enter');
		await expect(page.getByRole('heading', { level: 1, name: place })).toBeVisible();
	}
	expect(streams).toBe(1);
});
