import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('a volume is listed, backed up, restored once its name is typed, and removed when nothing uses it', async ({ dashboard: page }, info) => {
	test.slow();
	const project = unique(info, 'vols');
	const name = `berth_${project}_prod_files`;
	const stage = await makeStage(page, project, { volumes: [{ name: 'files', path: '/data' }] });
	let removed = false;
	const folder = info.outputPath('says');
	mkdirSync(folder, { recursive: true });
	const archive = (says: string) => {
		writeFileSync(path.join(folder, 'says'), says);
		const file = info.outputPath(`${says}.tar`);
		execFileSync('tar', ['-cf', file, '-C', folder, 'says']);
		return file;
	};
	const row = page.getByTestId('volume-list').getByRole('listitem').filter({ hasText: name });
	const dialog = page.getByRole('alertdialog');
	const restore = dialog.getByRole('button', { name: 'Restore volume' });
	const backup = async () => {
		const download = page.waitForEvent('download');
		await row.getByRole('link', { name: `Back up ${name}` }).click();
		const file = await download;
		expect(file.suggestedFilename()).toBe(`${name}.tar`);
		return execFileSync('tar', ['-xO', '--wildcards', '-f', await file.path(), '*says'], { encoding: 'utf8' });
	};
	try {
		await stage.live('1');
		await page.goto('/volumes');
		await expect(row).toContainText(`${project}/prod`);
		await expect(row).toContainText('in use');
		await expect(row.getByRole('button', { name: `Remove ${name}` })).toBeDisabled();
		await sound(page);
		await picture(page, info, 'volumes');

		// In use, it is refused until somebody says that instances may end.
		await row.getByRole('button', { name: `Restore ${name}` }).click();
		await expect(restore).toBeDisabled();
		await dialog.getByLabel('Backup').setInputFiles(archive('first'));
		await expect(restore, 'the name is not typed').toBeDisabled();
		await dialog.getByLabel(/to confirm/).fill(name);
		await restore.click();
		await expect(dialog.getByRole('alert')).toContainText('in use');
		await sound(page);
		await picture(page, info, 'volumes-restore');
		await dialog.getByLabel('End its instances meanwhile').check();
		await restore.click();
		await expect(dialog).toBeHidden({ timeout: 60_000 });
		expect(await backup()).toBe('first');
		await expect(row, 'a restore fills a volume of its own').toContainText(`in the engine ${name}.1`);

		// What restores do is seen: one under way, what others left, and what nobody knows.
		await page.route('**/api/volumes', async (route) => {
			const response = await route.fetch();
			const { items } = await response.json();
			const mine = items.find((v: { name: string }) => v.name === name);
			mine.restoring = { by: 'bea', since: new Date(Date.now() - 90_000).toISOString(), engine_name: `${name}.2`, size: 3 << 20 };
			mine.left = [name];
			const lost = { ...mine, name: `${name}_restore`, engine_name: `${name}_restore`, owner: 'restore', used_by: [], restoring: undefined, left: undefined };
			await route.fulfill({ response, json: { items: [...items, lost] } });
		});
		await page.reload();
		const first = row.first();
		await expect(first).toContainText('A backup is arriving, by bea');
		await expect(first).toContainText('3 MiB so far');
		await expect(first).toContainText('removed once nothing has it');
		await expect(first.getByRole('button', { name: `Restore ${name}` })).toBeDisabled();
		await expect(row.last()).toContainText('It may have the only copy of its data');
		await expect(row.last().getByRole('button', { name: `Restore ${name}_restore` })).toBeDisabled();
		await expect(row.last().getByRole('button', { name: `Remove ${name}_restore` })).toBeEnabled();
		await sound(page);
		await picture(page, info, 'volumes-restoring');
		await page.unroute('**/api/volumes');
		await page.reload();

		// A broken one changes nothing.
		const broken = info.outputPath('broken.tar');
		writeFileSync(broken, 'this is no archive');
		await row.getByRole('button', { name: `Restore ${name}` }).click();
		await dialog.getByLabel('Backup').setInputFiles(broken);
		await dialog.getByLabel(/to confirm/).fill(name);
		await dialog.getByLabel('End its instances meanwhile').check();
		await restore.click();
		await expect(dialog.getByRole('alert')).toContainText('the backup');
		await page.keyboard.press('Escape');
		expect(await backup()).toBe('first');

		// It outlives its stage, as who removes that reads, and goes only by its name.
		await page.goto(`${stage.path}/settings`);
		await page.getByRole('button', { name: 'Remove stage…' }).click();
		await expect(dialog).toContainText('This volume stays with all data in it');
		await expect(dialog.getByTestId('kept-volumes').getByRole('listitem')).toHaveText([name]);
		await sound(page);
		await picture(page, info, 'stage-remove');
		await dialog.getByLabel(/to confirm/).fill('prod');
		await dialog.getByRole('button', { name: 'Remove stage', exact: true }).click();
		await expect(dialog).toBeHidden({ timeout: 60_000 });
		await stage.remove();
		removed = true;
		await page.goto('/volumes');
		await expect(row).toContainText('which is gone');
		await row.getByRole('button', { name: `Remove ${name}` }).click();
		const remove = dialog.getByRole('button', { name: 'Remove volume' });
		await expect(remove).toBeDisabled();
		await dialog.getByLabel(/to confirm/).fill(`${name}x`);
		await expect(remove).toBeDisabled();
		await dialog.getByLabel(/to confirm/).fill(name);
		await sound(page);
		await picture(page, info, 'volumes-remove');
		await remove.click();
		await expect(row).toBeHidden();
	} finally {
		if (!removed) await stage.remove();
		await page.request.delete(`/api/volumes/${name}?confirm=${name}`);
	}
});
