import { readFileSync } from 'node:fs';
import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('the audit is filtered, exported and verified', async ({ dashboard: page }, info) => {
	const name = unique(info, 'audited');
	const stage = await makeStage(page, name);
	await page.goto('/');
	await page.getByRole('link', { name: 'Audit' }).first().click();
	await expect(page.getByRole('heading', { name: 'Audit', level: 1 })).toBeVisible();
	const list = page.getByTestId('audit');
	await expect(list.getByText(`created project ${name}`)).toBeVisible();
	await expect(list.locator('[data-kind="signin.succeeded"]').first()).toBeVisible();

	await page.getByLabel('Project').selectOption(name);
	await expect(list.locator('[data-kind="signin.succeeded"]')).toHaveCount(0);
	await page.getByLabel('About').selectOption('Configuration');
	await page.getByLabel('Holds the text').fill(name.toUpperCase());
	await page.getByLabel('Holds the text').press('Enter');
	await expect(page).toHaveURL(/text=/);
	const created = list.locator('[data-kind="project.created"]');
	await created.locator('summary').click();
	await expect(created.getByText(/^\d+, number \d+ of the chain$/)).toBeVisible();
	await sound(page);
	await picture(page, info, 'audit');

	const coming = page.waitForEvent('download');
	await page.getByRole('link', { name: 'Export' }).click();
	const lines = readFileSync(await (await coming).path(), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
	expect(lines.map((line) => line.kind)).toContain('project.created');
	for (const line of lines) {
		expect(line.project).toBe(name);
		expect(line.hash).toMatch(/^[0-9a-f]{64}$/);
	}

	await page.getByLabel('Holds the text').fill('nothing has this in it');
	await page.getByLabel('Holds the text').press('Enter');
	await expect(page.getByText('Nothing fits these filters')).toBeVisible();
	await page.getByRole('link', { name: 'Show everything' }).click();
	await expect(page.getByLabel('Project')).toHaveValue('');

	const found = page.getByTestId('verification');
	await page.getByRole('button', { name: 'Verify' }).click();
	await expect(found.getByText('All is as it was written')).toBeVisible();
	const head = (await page.getByTestId('head').textContent())!.trim();
	await stage.remove();
	await page.getByLabel('A head that was noted before').fill(head);
	await page.getByRole('button', { name: 'Verify' }).click();
	await expect(page.getByTestId('head')).not.toHaveText(head);
	await expect(found.getByText('All is as it was written')).toBeVisible();
	await sound(page);
	await picture(page, info, 'verified');
	await page.getByLabel('A head that was noted before').fill(`1-${'0'.repeat(64)}`);
	await page.getByRole('button', { name: 'Verify' }).click();
	await expect(found.getByText(/another than the one of the head that was noted/)).toBeVisible();
	await sound(page);
});
