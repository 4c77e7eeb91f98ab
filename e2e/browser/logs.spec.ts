import type { Locator, Page } from '@playwright/test';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { expect, makeStage, picture, press, sound, test, unique } from './berth.ts';

const server = new URL(process.env.BERTH_URL ?? 'http://localhost:8080');

function write(host: string, lines: number): Promise<void> {
	return new Promise((resolve, reject) => {
		http.request({ host: '127.0.0.1', port: server.port, path: `/lines?n=${lines}`, method: 'POST', headers: { host } }, (answer) => answer.resume().on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`the app answered ${answer.statusCode}`))))).on('error', reject).end();
	});
}

/** Scrolls towards the start as a hand does: a finger on a phone, else the wheel. */
async function scrollBack(page: Page, log: Locator): Promise<void> {
	await log.scrollIntoViewIfNeeded();
	const { x, y, width, height } = (await log.boundingBox())!;
	const [at, down] = [x + width / 2, y + height / 4];
	if (!test.info().project.use.hasTouch) {
		await page.mouse.move(at, down);
		await page.mouse.wheel(0, -2000);
		return;
	}
	const finger = await page.context().newCDPSession(page);
	const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', ...touchPoints: { x: number; y: number }[]) => finger.send('Input.dispatchTouchEvent', { type, touchPoints });
	await touch('touchStart', { x: at, y: down });
	for (let moved = 20; moved < height / 2; moved += 20) await touch('touchMove', { x: at, y: down + moved });
	await touch('touchEnd');
	await finger.detach();
	// It glides on by itself: who hits something meanwhile only stops it.
	await log.evaluate(async (node) => {
		const places = () => [...node.querySelectorAll('*')].map((e) => e.scrollTop).join();
		for (let before = '', same = 0; same < 10; same = places() === before ? same + 1 : 0) {
			before = places();
			await new Promise(requestAnimationFrame);
		}
	});
}

test('a log of 50,000 lines is read, searched and downloaded', async ({ dashboard: page }, info) => {
	const project = unique(info, 'logged');
	const stage = await makeStage(page, project);
	await stage.live('1');
	try {
		await write(`${project}.localhost`, 50_000);
		await page.goto(stage.path);
		await press(page.getByRole('link', { name: 'Logs', exact: true }));
		await page.getByRole('combobox', { name: 'How far back' }).selectOption('Everything');
		await expect(page.getByTestId('log-count')).toHaveText(/^(50,0|49,9)\d\d lines$/, { timeout: 60_000 });
		const log = page.getByRole('log');
		await expect(log).toContainText('line 50000 of');

		// By hand: who reads on is left there, until they say otherwise.
		await scrollBack(page, log);
		await expect(log).not.toContainText('line 50000 of');
		await press(page.getByRole('button', { name: 'Follow' }));
		await expect(log).toContainText('line 50000 of');
		await expect(page.getByRole('button', { name: 'Follow' })).toHaveCount(0);

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
		await press(page.getByRole('button', { name: 'Next match' }));
		await expect(log).toContainText('line 2000 of');
		await press(page.getByRole('button', { name: 'Previous match' }));
		await press(page.getByRole('button', { name: 'Previous match' }));
		await expect(page.getByTestId('log-hits')).toHaveText('50 of 50');
		await expect(log).toContainText('line 50000 of');
		await sound(page);
		await picture(page, info, 'logs-found');

		const [file] = await Promise.all([page.waitForEvent('download'), press(page.getByRole('link', { name: 'Download Instance log' }))]);
		expect(file.suggestedFilename()).toBe(`${project}-prod-1.log`);
		expect((await readFile(await file.path(), 'utf8')).split('\n').filter((line) => /line \d+ of/.test(line)).length, 'all of it').toBe(50_000);
	} finally {
		await stage.remove();
	}
});

test('who reads back in a log is left there while more is written', async ({ dashboard: page }, info) => {
	const project = unique(info, 'trickle');
	const stage = await makeStage(page, project);
	await stage.live('1');
	let going = true;
	let trickle = Promise.resolve();
	try {
		await write(`${project}.localhost`, 300);
		await page.goto(stage.path);
		await press(page.getByRole('link', { name: 'Logs', exact: true }));
		const log = page.getByRole('log');
		await expect(log).toContainText('line 300 of');
		trickle = (async () => {
			while (going) {
				await write(`${project}.localhost`, 1);
				await page.waitForTimeout(40);
			}
		})();
		const count = async () => parseInt(await page.getByTestId('log-count').innerText(), 10);
		const before = await count();
		await expect.poll(count).toBeGreaterThan(before + 5);
		await scrollBack(page, log);
		await expect(page.getByRole('button', { name: 'Follow' })).toBeVisible();
		const read = await log.locator('.whitespace-pre').first().innerText();
		const seen = await count();
		await expect.poll(count, { timeout: 20_000 }).toBeGreaterThan(seen + 40);
		await expect(page.getByRole('button', { name: 'Follow' })).toBeVisible();
		await expect(log.locator('.whitespace-pre').first()).toHaveText(read);
		await press(page.getByRole('button', { name: 'Follow' }));
		await expect(log).toContainText('line 1 of');
		await expect(page.getByRole('button', { name: 'Follow' })).toHaveCount(0);
	} finally {
		going = false;
		await trickle;
		await stage.remove();
	}
});
