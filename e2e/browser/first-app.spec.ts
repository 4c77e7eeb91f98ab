import { expect, image, picture, sound, test, unique } from './berth.ts';

test('a first app: new project, new stage, live, again, failed, back', async ({ dashboard: page, browserName: _ }, info) => {
	const project = unique(info, 'walk');

	await test.step('make a project', async () => {
		await page.goto('/projects/new');
		await page.getByLabel('Name').fill('Not A Name');
		await page.getByRole('button', { name: 'Create project' }).click();
		await expect(page.locator('[data-field-error]').first()).toBeVisible();
		await expect(page.getByLabel('Name')).toBeFocused();
		await sound(page);
		await page.getByLabel('Name').fill(project);
		await page.getByLabel('Image').fill(image);
		await page.getByLabel('Description').fill('Says hello');
		await page.getByRole('button', { name: 'Create project' }).click();
		await expect(page.getByRole('heading', { name: 'New stage' })).toBeVisible();
	});

	await test.step('make a stage, told at the field what is wrong', async () => {
		const hostname = page.getByLabel('Hostname');
		await expect(hostname).toHaveValue(`${project}.localhost`);
		await hostname.fill('not a host');
		await expect(page.locator('[data-field-error]').first()).toBeVisible();
		await hostname.fill(`${project}.localhost`);
		await expect(page.locator('[data-field-error]')).toHaveCount(0);

		await page.getByLabel('Deploys by itself').selectOption('glob');
		await page.getByLabel('Pattern').fill('rel-*');
		await expect(page.getByTestId('matching-tags')).toContainText('None of the');
		await page.getByLabel('Deploys by itself').selectOption('none');

		await page.getByRole('button', { name: 'Add variable' }).click();
		await page.getByLabel('Name of variable 1').fill('GREETING');
		await page.getByLabel('Value of GREETING').fill('ahoy');
		// An app that answers at once need not drain for long.
		await page.getByText('Times and limits').click();
		await page.getByLabel('Drain requests').fill('2s');
		await page.getByLabel('Drain streams').fill('2s');
		await page.getByLabel('Stop', { exact: true }).fill('2s');
		await sound(page);
		await picture(page, info, 'stage-form');
		await page.getByRole('button', { name: 'Create stage' }).click();
		await expect(page.getByTestId('first-deploy')).toBeVisible();
		await sound(page);
	});

	const deploy = async (tag: string) => {
		await page.getByRole('button', { name: 'Deploy', exact: true }).click();
		const dialog = page.getByRole('dialog');
		await dialog.getByRole('button', { name: new RegExp(`^${tag}\\b`) }).click();
		await sound(page);
		await picture(page, info, 'deploy-dialog');
		await dialog.getByRole('button', { name: `Deploy ${tag}` }).click();
		await expect(page).toHaveURL(/\/deployments\//);
		await expect(page.getByRole('heading', { level: 1, name: `Deploy ${tag}` })).toBeVisible();
	};
	const header = page.locator('main header').first();
	const stagePage = `/projects/${project}/stages/prod`;

	await test.step('watch the first deployment go live', async () => {
		await deploy('1');
		await expect(page.getByTestId('timeline').locator('[data-step]')).toHaveCount(8);
		await expect(header.locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
		await expect(page.locator('[data-step=switch]')).toHaveAttribute('data-state', 'done');
		await expect(page.getByTestId('log-count')).not.toHaveText('0 lines');
		await sound(page);
		await picture(page, info, 'deployment');
		const lines = await page.getByTestId('log-count').textContent();
		await page.reload();
		await expect(page.getByTestId('log-count'), 'read again, the log is as it was watched').toHaveText(lines!);
	});

	await test.step('see it serve', async () => {
		await page.goto(stagePage);
		await expect(header.locator('[data-status=healthy]')).toBeVisible();
		const url = await header.getByRole('link', { name: new RegExp(project) }).last().getAttribute('href');
		const app = await page.context().newPage();
		await app.goto(url!);
		await expect(app.locator('body')).toContainText('1');
		await app.close();
		// In one look the page is left to see by itself that it was asked.
		if (info.project.name !== 'light') await page.reload();
		await expect(page.getByTestId('instances').locator('[data-status=ready]')).toBeVisible();
		await expect(page.getByTestId('traffic')).toContainText(/[1-9]\d* requests?/, { timeout: 40_000 });
		const traffic = page.getByRole('region', { name: 'Traffic' });
		for (const [choice, over, unit] of [['7 d', 'seven days', '/30 min'], ['14 d', '14 days', '/h']]) {
			await traffic.getByRole('button', { name: choice, exact: true }).click();
			await expect(traffic.getByRole('img', { name: new RegExp(`^Requests: highest [1-9]\\d* ${unit} in the last ${over}$`) })).toBeVisible();
			await expect(page.getByTestId('traffic')).toContainText(/[1-9]\d* requests?/);
		}
		await sound(page);
		await picture(page, info, 'stage');
	});

	await test.step('read the instance’s log', async () => {
		await page.getByRole('link', { name: 'Logs', exact: true }).click();
		await expect(page.getByTestId('log')).toContainText('app version 1 starts');
		await page.getByPlaceholder('Filter…').fill('nothing like this');
		await expect(page.getByTestId('log')).toContainText('No line matches');
		await sound(page);
	});

	await test.step('save without deploying, and see what is pending', async () => {
		await page.getByRole('link', { name: 'Settings', exact: true }).last().click();
		await page.getByLabel('Value of GREETING').fill('hello');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(page.getByTestId('pending')).toContainText('GREETING');
		await expect(page.getByTestId('pending')).toContainText('ahoy');
		await sound(page);
	});

	await test.step('deploy a second release', async () => {
		await deploy('2');
		await expect(header.locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
	});

	await test.step('deploy one that breaks, and read why', async () => {
		await page.goto(stagePage);
		await expect(page.getByTestId('pending')).toHaveCount(0);
		await deploy('broken');
		await expect(header.locator('[data-status=failed]')).toBeVisible({ timeout: 90_000 });
		await expect(page.getByTestId('failure')).toContainText('The release before was not touched');
		await expect(page.getByTestId('last-lines')).toContainText('fatal: no database at db:5432');
		await expect(page.locator('[data-step][data-state=failed]')).toHaveCount(1);
		await sound(page);
		await picture(page, info, 'failure');
		await page.goto(stagePage);
		await expect(header.locator('[data-status=healthy]'), 'the release before still serves').toBeVisible();
	});

	await test.step('roll back, knowing what changes', async () => {
		await page.getByRole('link', { name: 'Releases', exact: true }).click();
		await expect(page.getByTestId('releases').locator('li').filter({ hasText: 'broken' })).toContainText('never live');
		await page.getByRole('button', { name: 'Roll back to 1' }).click();
		const dialog = page.getByRole('alertdialog');
		await expect(dialog.getByTestId('changes')).toContainText('Variable GREETING');
		await sound(page);
		await picture(page, info, 'roll-back');
		await dialog.getByRole('button', { name: 'Roll back' }).click();
		await expect(page.getByRole('heading', { level: 1, name: 'Roll back to 1' })).toBeVisible();
		await expect(header.locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
	});

	await test.step('see which of its instances answered', async () => {
		await page.goto(stagePage);
		await expect(header.locator('[data-status=healthy]')).toBeVisible();
		const app = await page.context().newPage();
		await app.goto((await header.getByRole('link', { name: new RegExp(project) }).last().getAttribute('href'))!);
		await expect(app.locator('body')).toContainText('1');
		await app.close();
		await page.reload();
		const choice = page.getByRole('combobox', { name: 'Instance that answered' });
		await expect(choice, 'the first one, and the one since the roll back').toBeVisible({ timeout: 40_000 });
		const requests = async () => parseInt((await page.getByTestId('traffic').textContent())!, 10);
		const all = await requests();
		await choice.selectOption({ index: 1 });
		await expect.poll(requests).toBeLessThan(all);
		expect(await requests()).toBeGreaterThan(0);
		await sound(page);
		await picture(page, info, 'traffic-instance');
	});

	await test.step('see what its instances use, or why that is not told', async () => {
		const { engine } = (await (await page.request.get('/api/system')).json()) as { engine: { lacks: string[] } };
		await page.goto(stagePage);
		const card = page.getByRole('region', { name: 'CPU and memory' });
		if (engine.lacks.includes('stats')) {
			await expect(card).toContainText('Nothing is measured');
			return;
		}
		await expect(card.getByTestId('usage')).toContainText(/\d cores, .*B/, { timeout: 90_000 });
		await card.getByRole('button', { name: 'Memory' }).click();
		await expect(card.getByRole('img', { name: /^Memory: highest [1-9]/ })).toBeVisible();
		await card.getByRole('button', { name: '14 d', exact: true }).click();
		await expect(card.getByRole('img', { name: /^Memory: highest [1-9].* in the last 14 days$/ })).toBeVisible();
		await expect(card.getByTestId('usage')).toContainText(/^Since \d\d:\d\d/);
		await sound(page);
		await picture(page, info, 'usage');
	});

	await test.step('see the whole at a glance', async () => {
		await page.goto('/');
		const card = page.getByTestId('project-card').filter({ hasText: project });
		await expect(card.locator('[data-status=healthy]').first()).toBeVisible();
		await sound(page);
		await picture(page, info, 'projects');
		await card.getByRole('link').click();
		await expect(page.getByTestId('stage-prod')).toContainText(`${project}.localhost`);
		await expect(page.getByTestId('deployments').locator('li')).toHaveCount(4);
		await expect(page.getByTestId('activity')).toContainText('did not go live');
		await sound(page);
		await picture(page, info, 'project');
	});

	await test.step('remove it, by its name', async () => {
		await page.goto(`/projects/${project}/settings`);
		await page.getByRole('button', { name: 'Remove project…' }).click();
		const dialog = page.getByRole('alertdialog');
		const remove = dialog.getByRole('button', { name: 'Remove project' });
		await expect(remove).toBeDisabled();
		await dialog.getByRole('textbox').fill(project);
		await sound(page);
		await remove.click();
		await expect(page).toHaveURL(/\/$/);
		await expect(page.getByTestId('project-card').filter({ hasText: project })).toHaveCount(0);
	});
});
