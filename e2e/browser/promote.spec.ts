import { expect, image, picture, press, sound, test, unique } from './berth.ts';
import { ask, stagingAndProd } from './promotion.ts';

test('promote from staging to prod: what changes, and what moved meanwhile', async ({ dashboard: page }, info) => {
	const project = unique(info, 'promo');
	const stages = await stagingAndProd(page.request, project, { promote_from: 'staging' });
	const header = page.locator('main header').first();
	const dialog = page.getByRole('alertdialog');
	await stages.staging('1');

	await test.step('read what changes, while somebody deploys to staging', async () => {
		await page.goto(`/projects/${project}/stages/prod`);
		await press(page.getByRole('button', { name: 'Promote', exact: true }));
		await expect(dialog.getByRole('heading', { name: 'Promote 1 to prod?' })).toBeVisible();
		await expect(dialog.getByTestId('changes')).toContainText(`${image}:1`);
		const differs = dialog.getByTestId('differs');
		await expect(differs.locator('li')).toHaveCount(2);
		await expect(differs).toContainText('Variable LOG_LEVEL');
		await expect(differs).toContainText('warn');
		await expect(differs).not.toContainText('REGION');
		await sound(page);
		await picture(page, info, 'promote-dialog');
		await stages.staging('2');
		await press(dialog.getByRole('button', { name: 'Promote 1' }));
		await expect(dialog.getByTestId('moved')).toContainText('staging has moved on from 1');
		await expect(dialog.getByTestId('moved')).toContainText('Nothing was promoted');
		await expect(dialog.getByRole('heading', { name: 'Promote 2 to prod?' })).toBeVisible();
		await expect(dialog.getByTestId('changes')).toContainText(`${image}:2`);
		// However long it is, what can be chosen is in view.
		await expect(dialog.getByRole('button', { name: 'Promote 2' })).toBeInViewport({ ratio: 1 });
		await sound(page);
		await picture(page, info, 'promote-moved');
		expect((await ask(page.request, 'get', `/api/deployments?project=${project}&stage=prod`)).items).toEqual([]);
	});

	await test.step('promote what is live now', async () => {
		await press(dialog.getByRole('button', { name: 'Promote 2' }));
		await expect(page.getByRole('heading', { level: 1, name: 'Promote 2' })).toBeVisible();
		await expect(header).toContainText('from staging');
		await expect(header.locator('[data-status=live]')).toBeVisible({ timeout: 60_000 });
	});

	await stages.remove();
});
