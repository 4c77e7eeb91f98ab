import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

/** A receiver on this machine, which is where the server is too. */
async function receiver() {
	const took: { headers: http.IncomingHttpHeaders; body: string }[] = [];
	let status = 200;
	const server = http.createServer((request, response) => {
		let body = '';
		request.on('data', (part: Buffer) => (body += part.toString()));
		request.on('end', () => {
			took.push({ headers: request.headers, body });
			response.writeHead(status).end();
		});
	});
	await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
	return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, took, answer: (code: number) => (status = code), close: () => server.close() };
}

test('people are told, and what was sent is on record', async ({ dashboard: page, browser }, info) => {
	const name = unique(info, 'on-call');
	const project = unique(info, 'told');
	const sink = await receiver();
	const stage = await makeStage(page, project);
	const row = page.getByTestId('channels').getByRole('listitem').filter({ hasText: name });
	const sent = page.getByTestId('sent').getByRole('listitem').filter({ hasText: name });

	await test.step('add a channel, and keep its signing secret', async () => {
		await page.goto('/notifications');
		await expect(page.getByRole('heading', { level: 1, name: 'Notifications' })).toBeVisible();
		await sound(page);
		await page.getByRole('button', { name: 'Add channel' }).first().click();
		const dialog = page.getByRole('dialog', { name: 'Add a channel' });
		await expect(dialog.getByLabel('Mail server')).toBeVisible();
		await sound(page);
		await picture(page, info, 'channel-mail');
		await dialog.getByLabel('Service').selectOption('webhook');
		await dialog.getByLabel('Name').fill('Not A Name');
		await dialog.getByLabel('URL', { exact: true }).fill(sink.url);
		await dialog.getByRole('button', { name: 'Add channel' }).click();
		await expect(dialog.locator('[data-field-error]')).toContainText('takes 1 to 63');
		await expect(dialog.getByLabel('Name')).toBeFocused();
		await dialog.getByLabel('Name').fill(name);
		await dialog.getByLabel('Deployment live').check();
		await picture(page, info, 'channel');
		await dialog.getByRole('button', { name: 'Add channel' }).click();
		await expect(page.getByTestId('signing-secret')).toHaveText(/^whsec_/);
		await sound(page);
		await page.getByRole('button', { name: 'Done' }).click();
		await expect(row).toContainText('All of Berth');
		await expect(row).toContainText('127.0.0.1');
		await expect(page.locator('body')).not.toContainText('/hook');
	});

	await test.step('send a test, by keyboard', async () => {
		await row.getByRole('button', { name: `Send a test to ${name}` }).focus();
		await page.keyboard.press('Enter');
		await expect(page.getByText(`A test went to ${name}`)).toBeVisible();
		await expect(sent.first()).toHaveAttribute('data-state', 'sent');
		expect(sink.took[0]!.headers['webhook-signature']).toMatch(/^v1,/);
		expect(JSON.parse(sink.took[0]!.body).type).toBe('test');
	});

	await test.step('hear of a deployment', async () => {
		await stage.live('1');
		await expect(sent.first()).toContainText(`${project} prod: 1 is live`);
		await expect(sent.first()).toHaveAttribute('data-state', 'sent');
		await expect(sent.first().getByRole('link')).toHaveAttribute('href', /^\/deployments\//);
		expect(JSON.parse(sink.took.at(-1)!.body).data.project).toBe(project);
	});

	await test.step('see what was refused, and send it again', async () => {
		sink.answer(403);
		await stage.live('2');
		await expect(sent.first()).toHaveAttribute('data-state', 'failed');
		await expect(sent.first()).toContainText('answered 403 Forbidden');
		await sound(page);
		await picture(page, info, 'notifications');
		sink.answer(200);
		await sent.first().getByRole('button', { name: 'Send again' }).click();
		await expect(sent.first()).toHaveAttribute('data-state', 'sent');
		await page.getByLabel('State').selectOption('failed');
		await expect(sent).toHaveCount(0);
		await page.getByLabel('State').selectOption('');
		await expect(sent.first()).toBeVisible();
	});

	await test.step('change it, after somebody else did', async () => {
		await row.getByRole('button', { name: `Change ${name}` }).click();
		const dialog = page.getByRole('dialog', { name: `Channel ${name}` });
		await expect(dialog).toContainText('127.0.0.1');
		await dialog.getByLabel('Switched on').uncheck();
		const { version } = await (await page.request.get(`/api/channels/${name}`)).json();
		const theirs = await page.request.patch(`/api/channels/${name}`, { data: { version, kinds: ['deployment.failed'] } });
		expect(theirs.status(), await theirs.text()).toBe(200);
		await dialog.getByRole('button', { name: 'Save' }).click();
		const conflict = page.getByRole('alertdialog');
		await expect(conflict.getByTestId('theirs')).toContainText('deployment.failed');
		await sound(page);
		await conflict.getByRole('button', { name: 'Overwrite theirs' }).click();
		await expect(row).toContainText('Off');
		await expect(row).toContainText('live');
	});

	await test.step('a member sees it, and may not touch it', async () => {
		const username = unique(info, 'dora');
		const password = 'another long password';
		expect((await page.request.post('/api/people', { data: { username, password, role: 'member' } })).status()).toBe(201);
		const context = await browser.newContext({ baseURL: new URL(page.url()).origin });
		expect((await context.request.post('/api/session', { data: { username, password } })).status()).toBe(200);
		const theirs = await context.newPage();
		await theirs.goto('/notifications');
		const same = theirs.getByTestId('channels').getByRole('listitem').filter({ hasText: name });
		await expect(same).toBeVisible();
		await expect(same.getByRole('button')).toHaveCount(0);
		await theirs.getByRole('button', { name: 'Add channel' }).first().click();
		await expect(theirs.getByRole('dialog').getByLabel('About').getByRole('option', { name: 'All of Berth' })).toHaveCount(0);
		await context.close();
	});

	await test.step('remove it', async () => {
		await row.getByRole('button', { name: `Remove ${name}` }).click();
		await page.getByRole('alertdialog').getByRole('button', { name: 'Remove channel' }).click();
		await expect(page.getByText(`Removed ${name}`)).toBeVisible();
		await expect(row).toHaveCount(0);
		await page.goto('/activity');
		await expect(page.getByTestId('activity')).toContainText(`removed notification channel ${name}`);
		await sound(page);
	});
	await stage.remove();
	sink.close();
});
