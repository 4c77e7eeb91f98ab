import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('a deployment under way is canceled, and the release before serves on', async ({ dashboard: page }, info) => {
	const project = unique(info, 'halt');
	const stage = await makeStage(page, project);
	await stage.live('1');
	const header = page.locator('main header').first();

	await test.step('deploy what takes its time', async () => {
		await page.goto(stage.path);
		await page.getByRole('button', { name: 'Deploy', exact: true }).click();
		const dialog = page.getByRole('dialog');
		await dialog.getByRole('button', { name: /^slow\b/ }).click();
		await dialog.getByRole('button', { name: 'Deploy slow' }).click();
		await expect(page.getByRole('heading', { level: 1, name: 'Deploy slow' })).toBeVisible();
		await expect(page.locator('[data-step=probe][data-state=running]')).toBeVisible({ timeout: 60_000 });
		await sound(page);
		await picture(page, info, 'deployment-running');
	});

	await test.step('think again, and let it go on', async () => {
		await header.getByRole('button', { name: 'Cancel' }).click();
		const dialog = page.getByRole('alertdialog', { name: 'Cancel this deployment?' });
		await expect(dialog.getByRole('button', { name: 'Let it go on' })).toBeFocused();
		await sound(page);
		await picture(page, info, 'cancel');
		await page.keyboard.press('Escape');
		await expect(dialog).toHaveCount(0);
		await expect(header.locator('[data-status=running]')).toBeVisible();
	});

	await test.step('cancel it', async () => {
		await header.getByRole('button', { name: 'Cancel' }).click();
		await page.getByRole('alertdialog').getByRole('button', { name: 'Cancel deployment' }).click();
		await expect(header.locator('[data-status=canceled]')).toBeVisible({ timeout: 60_000 });
		await expect(page.locator('main')).toContainText('The release before was not touched');
		await expect(page.locator('[data-step=switch]')).not.toHaveAttribute('data-state', 'done');
		await expect(page.locator('[data-step][data-state=running]')).toHaveCount(0);
		await expect(page.getByRole('alertdialog')).toHaveCount(0);
		await sound(page);
		await picture(page, info, 'canceled');
	});

	await test.step('see the release before serve', async () => {
		await page.goto(stage.path);
		await expect(header.locator('[data-status=healthy]')).toBeVisible();
		await expect(page.getByTestId('instances').locator('[data-status=ready]')).toHaveCount(1);
		await page.getByRole('link', { name: 'Deployments', exact: true }).click();
		await expect(page.getByTestId('deployments').locator('li').first().locator('[data-status=canceled]')).toBeVisible();
		await sound(page);
	});
	await stage.remove();
});
