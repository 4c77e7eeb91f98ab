import { expect, makeStage, picture, sound, test, unique } from './berth.ts';
import { visit, visitors } from './visitors.ts';

test('a release that breaks late is taken back, and says why', async ({ dashboard: page }, info) => {
	test.slow();
	const project = unique(info, 'guarded');
	const stage = await makeStage(page, project, { guard: { window: '5m' } });
	await stage.live('1');
	const leave = visitors(`${project}.localhost`);
	try {
		await page.goto(stage.path);
		await page.getByRole('button', { name: 'Deploy', exact: true }).click();
		await page.getByLabel('Tag or digest').fill('late');
		await page.getByRole('button', { name: 'Deploy late' }).click();
		const guard = page.getByTestId('watch-guard');
		await expect(guard).toHaveAttribute('data-state', 'watching', { timeout: 60_000 });
		await expect(guard.getByRole('row', { name: /Answers/ })).toContainText(/[1-9]/);
		await sound(page);
		await picture(page, info, 'guard');
		await expect(page.getByTestId('reverted')).toContainText('answers were errors', { timeout: 60_000 });
		await expect(guard).toHaveAttribute('data-state', 'breached');
		await sound(page);
		await picture(page, info, 'guard-breached');
		await expect.poll(async () => (await visit(`${project}.localhost`)).body).toContain('1 ');
		await page.goto(stage.path);
		await expect(page.getByText('was taken back').first()).toBeVisible();
		await sound(page);
		await page.getByRole('link', { name: 'Releases', exact: true }).click();
		const release = page.getByTestId('releases').locator('li').filter({ hasText: 'late' });
		await expect(release).toContainText('taken back');
		await expect(release, 'it was live').not.toContainText('never live');
		await sound(page);
	} finally {
		await leave();
		await stage.remove();
	}
});

test('a stage is paused, and maintained, and neither for ever', async ({ dashboard: page }, info) => {
	const project = unique(info, 'paused');
	const stage = await makeStage(page, project);
	await stage.live('1');
	const more = async (item: string) => {
		await page.getByRole('button', { name: /^More/ }).click();
		await page.getByRole('menuitem', { name: item }).click();
	};
	try {
		await page.goto(stage.path);
		await more('Pause…');
		await page.getByLabel('Why').fill('holidays until Monday');
		await sound(page);
		await page.getByRole('button', { name: 'Pause', exact: true }).click();
		await expect(page.getByTestId('paused')).toContainText('holidays until Monday');
		await page.getByRole('button', { name: 'Deploy', exact: true }).click();
		await page.getByLabel('Tag or digest').fill('2');
		await page.getByRole('button', { name: 'Deploy 2' }).click();
		await expect(page.getByRole('dialog').getByRole('alert')).toContainText('resume it first');
		await page.getByRole('button', { name: 'Cancel' }).click();

		await more('Maintenance page…');
		await page.getByLabel('What visitors read').fill('Back at noon.');
		await page.getByLabel('Ask again after').fill('0');
		await expect(page.getByRole('button', { name: 'Begin maintenance' })).toBeDisabled();
		await page.getByLabel('Ask again after').fill('10');
		await sound(page);
		await page.getByRole('button', { name: 'Begin maintenance' }).click();
		await expect(page.getByTestId('maintenance')).toContainText('Back at noon.');
		const seen = await visit(`${project}.localhost`, 'browser', 'text/html');
		expect(seen.status).toBe(503);
		expect(seen.body).toContain('Back at noon.');
		await sound(page);
		await picture(page, info, 'paused');
		await page.goto(`/projects/${project}`);
		await expect(page.getByTestId('stage-prod')).toContainText('maintenance');
		await sound(page);

		await page.goto(stage.path);
		await page.getByRole('button', { name: 'End maintenance' }).click();
		await expect(page.getByTestId('maintenance')).toHaveCount(0);
		await page.getByRole('button', { name: 'Resume', exact: true }).click();
		await expect(page.getByTestId('paused')).toHaveCount(0);
		expect((await visit(`${project}.localhost`)).status).toBe(200);
	} finally {
		await stage.remove();
	}
});

test('the guard and the canary are set in the settings', async ({ dashboard: page }, info) => {
	const project = unique(info, 'watched');
	const stage = await makeStage(page, project);
	try {
		await page.goto(`${stage.path}/settings`);
		await page.getByRole('heading', { name: 'Guard and canary' }).click();
		await page.getByLabel('Watch a new release after the switch').check();
		await page.getByLabel('For', { exact: true }).fill('1s');
		await expect(page.getByText('it is 5s at least', { exact: false })).toBeVisible();
		await page.getByLabel('For', { exact: true }).fill('3m');
		await page.getByLabel('Give it to some clients first').check();
		await page.getByLabel('Share of clients').fill('25');
		await page.getByLabel('More errors than before').fill('2.5');
		await sound(page);
		await page.getByRole('heading', { name: 'Guard and canary' }).scrollIntoViewIfNeeded();
		await picture(page, info, 'guard-settings');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(page).toHaveURL(new RegExp(`${stage.path}$`));
		expect(await stage.spec()).toMatchObject({ guard: { window: '3m0s', error_rate: 2.5, min_requests: 20 }, canary: { share: 25, duration: '5m0s' } });
	} finally {
		await stage.remove();
	}
});
