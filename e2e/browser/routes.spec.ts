import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, picture, sound, test, unique } from './berth.ts';

test('sign-in is put in front of what Berth does not run', async ({ dashboard: page }, info) => {
	const name = unique(info, 'nas').slice(0, 40);
	const host = `${name}.example.com`;
	const row = page.getByTestId('routes').getByRole('listitem').filter({ hasText: host });
	const dialog = page.getByRole('dialog');

	await test.step('a route is added, and nobody may enter until somebody says', async () => {
		await page.goto('/routes');
		await expect(page.getByRole('heading', { level: 1, name: 'Routes' })).toBeVisible();
		await sound(page);
		await picture(page, info, 'routes-before');
		await page.getByRole('button', { name: 'New route' }).click();
		await dialog.getByLabel('Name', { exact: true }).fill(name);
		await dialog.getByLabel('Hostname', { exact: true }).fill(host);
		await dialog.getByRole('textbox', { name: 'Target' }).fill('http://169.254.169.254');
		await expect(dialog.getByRole('radio', { name: 'Nobody' })).toBeChecked();
		await dialog.getByRole('button', { name: 'Add route' }).click();
		await expect(dialog.locator('[data-field-error]')).toContainText('is an address that Berth does not connect to');
		await sound(page);
		await picture(page, info, 'route-refused');
		await dialog.getByRole('textbox', { name: 'Target' }).fill('HTTP://192.168.0.7:5000/');
		await dialog.getByLabel('Largest request body').fill('much');
		await dialog.getByRole('button', { name: 'Add route' }).click();
		await expect(dialog.locator('[data-field-error]')).toContainText('This is a size');
		await dialog.getByLabel('Largest request body').fill('1.5 MiB');
		await dialog.getByLabel('It speaks').selectOption('HTTP/2, and gRPC');
		await dialog.getByRole('button', { name: 'Add route' }).click();
		await expect(dialog).toHaveCount(0);
		await expect(row).toContainText('http://192.168.0.7:5000');
		await expect(row).toContainText('Nobody');
		const { spec } = (await (await page.request.get(`/api/routes/${name}`)).json()) as { spec: object };
		expect(spec).toMatchObject({ max_body_bytes: 1.5 * 1024 ** 2, protocol: 'http2' });
	});

	await test.step('who could see it stands there before it is saved', async () => {
		await page.getByRole('button', { name: `Change the route ${name}` }).click();
		await dialog.getByRole('radio', { name: 'These people and groups' }).check();
		await dialog.getByRole('button', { name: 'Save' }).click();
		await expect(dialog.locator('[data-field-error]')).toContainText('Name somebody');
		await dialog.getByRole('radio', { name: 'Administrators' }).check();
		await expect(dialog.getByTestId('access-preview').getByRole('listitem').filter({ hasText: 'Anybody on the network' })).toHaveAttribute('data-allowed', 'false');
		await expect(dialog.getByTestId('access-preview').locator('[data-allowed=true]').first()).toBeVisible();
		await sound(page);
		await picture(page, info, 'route-access');
		await dialog.getByRole('button', { name: 'Save' }).click();
		await expect(dialog).toHaveCount(0);
		await expect(row).toContainText('Administrators');
		await picture(page, info, 'routes');
		await page.goto(`/explain?url=${encodeURIComponent(`https://${host}/x`)}&method=GET`);
		await page.getByRole('button', { name: 'Ask', exact: true }).click();
		await expect(page.getByTestId('explanation')).toContainText(`the route ${name}`);
		await expect(page.getByTestId('explanation')).toContainText('X-Berth-Context');
		await sound(page);
	});

	await test.step('what passes through it is on its page', async () => {
		const target = createServer((q, a) => q.resume().on('end', () => a.writeHead(q.url === '/broken' ? 500 : 200).end('here')));
		await new Promise<void>((listening) => target.listen(0, '127.0.0.1', listening));
		try {
			const api = `/api/routes/${name}`;
			const now = (await (await page.request.get(api)).json()) as { version: number; spec: object };
			const spec = { ...now.spec, hostname: `${name}.localhost`, target: `http://127.0.0.1:${(target.address() as AddressInfo).port}`, protocol: 'http1', max_body_bytes: 1024, access: { rules: [{ allow: { public: true } }] } };
			expect((await page.request.put(api, { data: { version: now.version, spec } })).status()).toBe(200);
			const app = new URL(page.url());
			app.hostname = `${name}.localhost`;
			// Past the browser: names under localhost are nothing that every machine looks up.
			const visit = (path: string, body?: string) =>
				new Promise<number | undefined>((answered, failed) =>
					request({ host: '127.0.0.1', port: app.port, path, method: body ? 'POST' : 'GET', headers: { host: app.host } }, (a) => a.resume().on('end', () => answered(a.statusCode)))
						.on('error', failed)
						.end(body)
				);
			for (let i = 0; i < 6; i++) expect(await visit('/')).toBe(200);
			expect(await visit('/broken')).toBe(500);
			expect(await visit('/', 'x'.repeat(1025))).toBe(413);

			await page.goto('/routes');
			await page.getByTestId('routes').getByRole('link', { name, exact: true }).click();
			await expect(page.getByRole('heading', { level: 1, name })).toBeVisible();
			await expect(page.getByTestId('traffic')).toHaveText('8 requests, 1 answered with a server error');
			await expect(page.getByRole('img', { name: /^Requests: highest \d+ \/min/ })).toBeVisible();
			await page.getByRole('button', { name: '7 d', exact: true }).click();
			await expect(page.getByRole('img', { name: 'Requests: highest 8 /30 min in the last seven days' })).toBeVisible();
			await expect(page.getByTestId('route-target')).toContainText('1 KiB');
			await expect(page.getByTestId('route-rules')).toContainText('Every request: everybody');
			await expect(page.getByTestId('route-beside')).toHaveCount(0);
			await sound(page);
			await picture(page, info, 'route');
			await page.getByRole('button', { name: 'Latency' }).click();
			await expect(page.getByText('95 % are faster').first()).toBeVisible();

			// Changed beside it, the page says so; and here it is changed back.
			const after = (await (await page.request.get(api)).json()) as { version: number };
			expect((await page.request.put(api, { data: { version: after.version, spec: { ...spec, max_body_bytes: 0 } } })).status()).toBe(200);
			await expect(page.getByTestId('route-target')).toContainText('The gateway’s own limit');
			await page.getByRole('button', { name: 'Change', exact: true }).click();
			await expect(dialog.getByLabel('Largest request body')).toHaveValue('');
			await dialog.getByRole('textbox', { name: 'Hostname', exact: true }).fill(host);
			await dialog.getByRole('radio', { name: 'Administrators' }).check();
			await dialog.getByRole('button', { name: 'Save' }).click();
			await expect(dialog).toHaveCount(0);
			await expect(page.getByTestId('who-enters')).toContainText('Administrators');
			await sound(page);
		} finally {
			target.close();
		}
	});

	await test.step('what somebody else saved meanwhile is not overwritten unseen', async () => {
		await page.goto('/routes');
		await page.getByRole('button', { name: `Change the route ${name}` }).click();
		await dialog.getByText('Another proxy serves it').click();
		const now = (await (await page.request.get(`/api/routes/${name}`)).json()) as { version: number; spec: object };
		expect((await page.request.put(`/api/routes/${name}`, { data: { version: now.version, spec: { ...now.spec, target: 'https://nas.lan' } } })).status()).toBe(200);
		await dialog.getByRole('button', { name: 'Save' }).click();
		const conflict = page.getByRole('alertdialog');
		await expect(conflict).toContainText('https://nas.lan');
		await picture(page, info, 'route-conflict');
		await conflict.getByRole('button', { name: 'Overwrite theirs' }).click();
		await expect(row).toContainText('what another proxy has there');
		await page.getByTestId('routes').getByRole('link', { name, exact: true }).click();
		await expect(page.getByText('what passes is not counted here')).toBeVisible();
		await sound(page);
		await picture(page, info, 'route-elsewhere');
		await page.goto('/routes');
	});

	await test.step('a stage can not take its address, and one beside it is told of', async () => {
		expect((await page.request.post('/api/projects', { data: { name, image: 'hello' } })).status()).toBe(201);
		const refused = await page.request.post(`/api/projects/${name}/stages`, { data: { name: 'prod', spec: { hostname: host, tags: { kind: 'none' } } } });
		expect(refused.status()).toBe(422);
		expect(await refused.text()).toContain(`is the address of the route ${name}`);
		const beside = { name: 'prod', spec: { hostname: host, path_prefix: '/app', tags: { kind: 'none' } } };
		expect((await page.request.post(`/api/projects/${name}/stages`, { data: beside })).status()).toBe(201);
		await page.goto(`/routes/${name}`);
		await expect(page.getByTestId('route-beside')).toHaveText(`/app is the stage ${name}/prod: who enters there, it says.`);
		await sound(page);
		await picture(page, info, 'route-beside');
		await page.goto('/routes');
		expect((await page.request.delete(`/api/projects/${name}`)).status()).toBe(200);
	});

	await test.step('removing asks first', async () => {
		await page.getByRole('button', { name: `Remove the route ${name}` }).click();
		await picture(page, info, 'route-remove');
		await page.getByRole('alertdialog').getByRole('button', { name: 'Remove route' }).click();
		await expect(row).toHaveCount(0);
		await page.goto('/audit');
		await expect(page.getByText(`removed the route ${name}`).first()).toBeVisible();
	});
});
