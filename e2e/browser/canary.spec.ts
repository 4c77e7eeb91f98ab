import { expect, makeStage, picture, press, sound, test, unique } from './berth.ts';
import { visit, visitors } from './visitors.ts';

test('a canary is given to everybody, and another is taken back', async ({ dashboard: page }, info) => {
	const project = unique(info, 'canary');
	const stage = await makeStage(page, project, { canary: { share: 30, duration: '1h' } });
	await stage.live('1');
	const leave = visitors(`${project}.localhost`);
	const deploy = async (tag: string) => {
		await page.goto(stage.path);
		await press(page.getByRole('button', { name: 'Deploy', exact: true }));
		await page.getByLabel('Tag or digest').fill(tag);
		await press(page.getByRole('button', { name: `Deploy ${tag}` }));
		await expect(page.getByTestId('watch-canary')).toHaveAttribute('data-state', 'watching', { timeout: 60_000 });
	};
	try {
		await deploy('2');
		await expect(page.getByTestId('watch-canary').getByRole('row', { name: /Errors/ })).toContainText('0 %');
		await sound(page);
		await picture(page, info, 'canary');
		await press(page.getByRole('button', { name: 'Give it to everybody' }));
		await expect(page.locator('h1 ~ [data-status=live], [data-status=live]').first()).toBeVisible({ timeout: 30_000 });
		await expect(page.getByTestId('watch-canary')).toHaveAttribute('data-state', 'ended');
		await expect.poll(async () => (await visit(`${project}.localhost`)).body).toContain('2 ');

		await deploy('1');
		await page.goto(stage.path);
		await expect(page.getByText('30 % of the clients try 1')).toBeVisible();
		await press(page.getByText('30 % of the clients try 1'));
		await press(page.getByRole('button', { name: 'Go back' }));
		await sound(page);
		await press(page.getByRole('alertdialog').getByRole('button', { name: 'Go back' }));
		await expect(page.getByText('It was canceled.', { exact: false }).first()).toBeVisible({ timeout: 30_000 });
		await expect.poll(async () => (await visit(`${project}.localhost`)).body).toContain('2 ');
	} finally {
		await leave();
		await stage.remove();
	}
});
