import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, picture, press, sound, test, unique } from './berth.ts';

/** A registry on this machine that has one tag, whose image can be moved. */
async function registry() {
	let digit = 'a';
	const server = http.createServer((request, response) => {
		if (request.url?.includes('/manifests/latest')) response.setHeader('Docker-Content-Digest', `sha256:${digit.repeat(64)}`);
		response.writeHead(request.url === '/v2/' || request.url?.includes('/manifests/latest') ? 200 : 404).end();
	});
	await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
	return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, move: (to: string) => (digit = to), close: () => server.close() };
}

test('a push elsewhere is told of by a webhook, kept, and replayed', async ({ dashboard: page }, info) => {
	const elsewhere = await registry();
	const project = unique(info, 'afar');
	const name = unique(info, 'packages');
	const image = `${elsewhere.host}/${project}`;
	const source = page.getByTestId('sources').locator(`[data-source="${image}"]`);
	const post = async (path: string, data: object) => {
		const answer = await page.request.post(path, { data });
		expect(answer.ok(), await answer.text()).toBe(true);
	};
	let address = '';
	let secret = '';

	await test.step('watch an image in another registry', async () => {
		// In a private network, this machine's too, Berth asks only where an administrator says so.
		const known = await page.request.put(`/api/registries/${elsewhere.host}`, { data: { username: '', password: '', insecure: true } });
		expect(known.ok(), await known.text()).toBe(true);
		await post('/api/projects', { name: project, image });
		await post(`/api/projects/${project}/stages`, { name: 'prod', spec: { hostname: `${project}.localhost`, tags: { kind: 'exact', pattern: 'latest' } } });
		await page.goto('/sources');
		await expect(page.getByRole('heading', { level: 1, name: 'Sources' })).toBeVisible();
		await expect(source).toContainText('Good');
		await expect(source).toContainText('exact latest');
		await press(source.getByRole('button', { name: `Look at ${image} now` }));
		await expect(page.getByText(`Looking at ${image}`)).toBeVisible();
		await sound(page);
	});

	await test.step('add a webhook, and be shown its address once', async () => {
		await press(page.getByRole('button', { name: 'New webhook' }).first());
		const dialog = page.getByRole('dialog', { name: 'New webhook' });
		await dialog.getByLabel('Who sends').selectOption('zot');
		await expect(dialog.getByLabel('Registry')).toHaveAttribute('required', '');
		await dialog.getByLabel('Who sends').selectOption('dockerhub');
		await expect(dialog).toContainText('can send no secret');
		await dialog.getByLabel('Who sends').selectOption('generic');
		await dialog.getByLabel('Name').fill(name);
		await dialog.getByLabel('For', { exact: true }).selectOption(project);
		await sound(page);
		await picture(page, info, 'webhook-new');
		await press(dialog.getByRole('button', { name: 'Add webhook' }));
		address = (await page.getByTestId('webhook-address').textContent()) ?? '';
		secret = (await page.getByTestId('webhook-secret').textContent()) ?? '';
		expect(address).toMatch(/\/api\/webhooks\/generic\/[\w-]{43}$/);
		await sound(page);
		await picture(page, info, 'webhook-address');
		await press(page.getByRole('button', { name: 'Done' }));
		await expect(page.locator('body')).not.toContainText(address);
		await press(page.getByTestId('webhooks').getByRole('link', { name }));
		await expect(page.getByText('Nothing was sent yet')).toBeVisible();
		await expect(page.getByText('The newest 200')).toContainText('for as long as BERTH_DELIVERY_RETENTION says');
		await sound(page);
	});

	const send = async (data: object, key: string) => (await fetch(address, { method: 'POST', body: JSON.stringify(data), headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}` } })).status;
	const deliveries = page.getByTestId('deliveries').getByRole('listitem');

	await test.step('see what became of each delivery', async () => {
		expect(await send({ image: `${image}:latest` }, 'wrong')).toBe(401);
		expect(await send({ image: `${image}:other` }, secret)).toBe(202);
		elsewhere.move('b');
		expect(await send({ image: `${image}:latest` }, secret)).toBe(202);
		await page.reload();
		await expect(deliveries).toHaveCount(3);
		await expect(deliveries.nth(0)).toHaveAttribute('data-verdict', 'accepted');
		await expect(deliveries.nth(1)).toContainText('no stage takes');
		await expect(deliveries.nth(2)).toContainText('missing or wrong');
		await press(deliveries.nth(0).getByRole('button', { expanded: false }));
		await expect(deliveries.nth(0).getByLabel('What was sent')).toContainText(`${image}:latest`);
		await sound(page);
		await picture(page, info, 'webhook-deliveries');
	});

	await test.step('replay one: what is known deploys nothing', async () => {
		const deployed = async () => ((await (await page.request.get(`/api/deployments?project=${project}`)).json()).items as { trigger: string }[]).map((d) => d.trigger);
		await expect.poll(deployed).toEqual(['webhook']);
		const replay = deliveries.nth(0).getByRole('button', { name: 'Replay' });
		if (info.project.use.hasTouch) await replay.tap();
		else await replay.press('Enter');
		await expect(page.getByText('Replayed: the image is looked up')).toBeVisible();
		await expect(deliveries).toHaveCount(4);
		await expect(deliveries.nth(0)).toContainText('replayed by');
		// The next push is looked up after it.
		elsewhere.move('c');
		expect(await send({ image: `${image}:latest` }, secret)).toBe(202);
		await expect.poll(deployed).toEqual(['webhook', 'webhook']);
	});

	await test.step('remove it', async () => {
		await press(page.getByRole('button', { name: 'Remove', exact: true }));
		await press(page.getByRole('alertdialog').getByRole('button', { name: 'Remove webhook' }));
		await expect(page).toHaveURL(/\/sources$/);
		await expect(page.getByTestId('webhooks').getByText(name)).toHaveCount(0);
		await picture(page, info, 'sources');
		expect(await send({ image }, secret)).toBe(404);
		await page.request.delete(`/api/projects/${project}`);
		await page.request.delete(`/api/registries/${elsewhere.host}`);
	});
	elsewhere.close();
});
