import type { Page } from '@playwright/test';
import { expect, picture, sound, test, unique } from './berth.ts';
import { ask, stagingAndProd } from './promotion.ts';

test('have a stage promote from another, and another person approve', async ({ dashboard: page, playwright, baseURL }, info) => {
	const project = unique(info, 'approved');
	const stages = await stagingAndProd(page.request, project, {});
	const header = page.locator('main header').first();
	const stagePage = `/projects/${project}/stages/prod`;
	const dialog = page.getByRole('alertdialog');

	await test.step('see which tags a rule takes, and the newest', async () => {
		await page.goto(`${stagePage}/settings`);
		const takes = page.getByLabel('Deploys by itself');
		await takes.selectOption('regexp');
		await page.getByLabel('Expression').fill('[0-9');
		await expect(page.locator('[data-field-error]').first()).toContainText('regular expression');
		await page.getByLabel('Expression').fill('[0-9]');
		await expect(page.getByTestId('matching-tags').locator('li')).toHaveCount(2);
		await expect(page.getByTestId('matching-tags').locator('[data-newest]')).toHaveCount(1);
		await page.getByLabel('Ask before a match deploys').check();
		await sound(page);
		await picture(page, info, 'tag-rule');
	});

	await test.step('have prod promote from staging', async () => {
		await page.getByLabel('Deploys by itself').selectOption('promote');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(page.locator('[data-field-error]').first()).toContainText('Choose the stage');
		await page.getByLabel('Promotes from').selectOption('staging');
		await expect(page.locator('[data-field-error]')).toHaveCount(0);
		await sound(page);
		await picture(page, info, 'promote-form');
		await page.getByRole('button', { name: 'Save', exact: true }).click();
		await expect(page.getByText('Nothing was promoted to prod yet')).toBeVisible();
		await expect(page.getByRole('button', { name: 'Deploy', exact: true })).toHaveCount(0);
	});

	await test.step('nothing is live in staging yet', async () => {
		await page.getByRole('button', { name: 'Promote', exact: true }).click();
		await expect(dialog).toContainText('nothing is live');
		await expect(dialog.getByRole('button', { name: 'Promote' })).toBeDisabled();
		await sound(page);
		await dialog.getByRole('button', { name: 'Cancel' }).click();
		await stages.staging('1');
	});

	await test.step('another person has to approve', async () => {
		const { version, spec } = await ask(page.request, 'get', `${stages.api}/prod`);
		await ask(page.request, 'put', `${stages.api}/prod`, { version, spec: { ...spec, promote_approval: true } });
		await page.goto(stagePage);
		await page.getByRole('button', { name: 'Promote', exact: true }).click();
		await expect(dialog).toContainText('held until another person approves it');
		await dialog.getByRole('button', { name: 'Promote 1' }).click();
		await expect(page.getByTestId('held')).toContainText('You asked for it, so another person has to approve it');
		await expect(page.getByTestId('held').getByRole('button', { name: 'Approve' })).toHaveCount(0);
		await expect(header.locator('[data-status=held]')).toBeVisible();
		await sound(page);
		await picture(page, info, 'held');
		await page.goto('/');
		await expect(page.getByTestId('project-card').filter({ hasText: project }).getByTestId('card-held')).toContainText('1 waits for approval');
		await sound(page);
	});

	await test.step('who comes and does', async () => {
		const name = unique(info, 'second');
		const password = 'correct horse battery staple';
		await ask(page.request, 'post', '/api/people', { username: name, password, role: 'member' });
		const other: Page = await page.context().newPage();
		const theirs = await playwright.request.newContext({ baseURL: baseURL! });
		await ask(theirs, 'post', '/api/session', { username: name, password });
		const mine = await page.context().cookies();
		await page.context().addCookies((await theirs.storageState()).cookies);
		await other.goto(stagePage);
		await expect(other.getByTestId('held')).toContainText('Promote 1 waits for approval');
		await sound(other);
		await picture(other, info, 'approval');
		await other.getByRole('button', { name: 'Approve Promote 1' }).click();
		await expect(other.getByRole('heading', { level: 1, name: 'Promote 1' })).toBeVisible();
		await expect(other.locator('main header').first()).toContainText(`approved by ${name}`);
		await expect(other.locator('main header').first().locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
		await other.goto(`/activity?project=${project}`);
		await expect(other.getByTestId('activity')).toContainText('approved 1 for');
		await other.close();
		await theirs.dispose();
		await page.context().clearCookies();
		await page.context().addCookies(mine);
		await ask(page.request, 'delete', `/api/people/${name}`);
	});

	await stages.remove();
});
