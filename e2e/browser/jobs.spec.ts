import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('a job is added in the settings, run by a click, and says what it wrote', async ({ dashboard: page }, info) => {
	test.slow();
	const project = unique(info, 'jobs');
	const stage = await makeStage(page, project, { before_switch: { command: ['migrate'] } });
	try {
		await stage.live('1');
		await page.goto(`${stage.path}/settings`);
		await page.getByRole('button', { name: /^Jobs/ }).or(page.locator('summary', { hasText: /^\s*Jobs/ })).first().click();
		await page.getByRole('button', { name: 'Add job' }).click();
		const job = page.getByTestId('jobs').getByRole('listitem').first();
		await job.getByLabel('Name').fill('tidy');
		await job.getByLabel('Schedule').fill('30 3 * *');
		await expect(job.getByTestId('next-runs')).toContainText('it is no schedule');
		await job.getByLabel('Schedule').fill('30 3 * * *');
		await job.getByLabel('Time zone').fill('Europe/Berlin');
		await expect(job.getByTestId('next-runs')).toContainText(/Runs next: .*03:30.*\(Europe\/Berlin\)/);
		await job.getByLabel('Command').fill('tidy');
		await sound(page);
		await picture(page, info, 'jobs-settings');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect.poll(async () => (await stage.spec()).jobs).toMatchObject([{ name: 'tidy', schedule: '30 3 * * *', time_zone: 'Europe/Berlin', command: ['tidy'] }]);
		expect((await stage.spec()).before_switch, 'the form keeps what it was not asked to change').toMatchObject({ command: ['migrate'] });

		await page.goto(stage.path);
		await expect(page.getByTestId('job-list')).toContainText('30 3 * * *, Europe/Berlin');
		await page.getByRole('button', { name: 'Run now: tidy' }).click();
		await expect(page.getByRole('dialog', { name: 'tidy: succeeded' })).toBeVisible({ timeout: 60_000 });
		await expect(page.getByRole('log')).toContainText('runs tidy');
		await sound(page);
		await picture(page, info, 'jobs-run');
		await page.keyboard.press('Escape');
		await expect(page.getByTestId('job-runs')).toContainText('Succeeded');
		await sound(page);
		await picture(page, info, 'jobs');
	} finally {
		await stage.remove();
	}
});
