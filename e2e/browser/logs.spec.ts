import http from 'node:http';
import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

const server = new URL(process.env.BERTH_URL ?? 'http://localhost:8080');

function write(host: string, lines: number): Promise<void> {
	return new Promise((resolve, reject) => {
		http.request({ host: '127.0.0.1', port: server.port, path: `/lines?n=${lines}`, method: 'POST', headers: { host } }, (answer) => answer.resume().on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`the app answered ${answer.statusCode}`))))).on('error', reject).end();
	});
}

test('a log of 50,000 lines is read, searched and downloaded, and stays when its container is gone', async ({ dashboard: page }, info) => {
	test.slow();
	const project = unique(info, 'logged');
	const stage = await makeStage(page, project);
	await stage.live('1');
	try {
		await write(`${project}.localhost`, 50_000);
		await page.goto(`${stage.path}/logs`);
		await page.getByLabel('How far back').selectOption('Everything');
		await expect(page.getByTestId('log-count')).toHaveText(/^(50,0|49,9)\d\d lines$/, { timeout: 60_000 });
		const log = page.getByRole('log');
		await expect(log).toContainText('line 50000 of');

		// Fluid: while it scrolls from end to start, no frame takes long, and
		// only what is seen is in the page.
		const slowest = await log.evaluate(async (node) => {
			const list = [...node.querySelectorAll<HTMLElement>('*')].find((e) => e.scrollHeight > e.clientHeight + 1000)!;
			let worst = 0;
			let before = performance.now();
			for (let n = 60; n >= 0; n--) {
				list.scrollTop = (list.scrollHeight * n) / 60;
				list.dispatchEvent(new Event('wheel', { bubbles: true }));
				await new Promise(requestAnimationFrame);
				worst = Math.max(worst, performance.now() - before);
				before = performance.now();
			}
			return { worst, rows: node.querySelectorAll('mark, .whitespace-pre').length };
		});
		expect(slowest.rows).toBeLessThan(200);
		expect(slowest.worst).toBeLessThan(1000); // on a loaded machine without a graphics card
		info.annotations.push({ type: 'slowest frame', description: `${Math.round(slowest.worst)} ms` });

		await page.getByPlaceholder('Filter…').fill('error');
		await expect(page.getByTestId('log-count')).toHaveText('50 lines');
		await expect(log.locator('mark').first()).toHaveText(/error/i);
		await sound(page);
		await picture(page, info, 'logs-filter');
		await page.getByPlaceholder('Filter…').press('Enter');
		await expect(page.getByTestId('log-hits')).toHaveText('1 of 50');
		await expect(log).toContainText('line 1000 of');
		await page.getByRole('button', { name: 'Next match' }).click();
		await expect(log).toContainText('line 2000 of');
		await page.getByRole('button', { name: 'Previous match' }).click();
		await page.getByRole('button', { name: 'Previous match' }).click();
		await expect(page.getByTestId('log-hits')).toHaveText('50 of 50');
		await expect(log).toContainText('line 50000 of');
		await sound(page);
		await picture(page, info, 'logs-found');

		const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download Instance log' }).click()]);
		expect(file.suggestedFilename()).toBe(`${project}-prod-1.log`);

		await stage.live('2');
		await page.reload();
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
