import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('a log stays when its container is gone', async ({ dashboard: page }, info) => {
	const project = unique(info, 'kept');
	const stage = await makeStage(page, project);
	await stage.live('1');
	try {
		await stage.live('2');
		await page.goto(`${stage.path}/logs`);
		const gone = page.getByLabel('Instances that are gone');
		await expect(gone.getByRole('option')).toHaveCount(3, { timeout: 60_000 });
		await gone.selectOption({ index: 2 });
		await expect(page.getByTestId('log-link')).toHaveText('Kept: the container is gone');
		await expect(page.getByRole('log')).toContainText('app version 1 stops');
		await sound(page);
		await picture(page, info, 'logs-kept');
	} finally {
		await stage.remove();
	}
});
