import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { admin, expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('a token for one stage does nothing elsewhere, and ends with it', async ({ dashboard: page, playwright, baseURL }, info) => {
	const [mine, other] = [unique(info, 'bound'), unique(info, 'beside')];
	const [stage, beside] = [await makeStage(page, mine), await makeStage(page, other)];
	await page.goto('/account/tokens');
	await page.getByRole('button', { name: 'New token' }).click();
	const dialog = page.getByRole('dialog');
	await dialog.getByLabel('Name').fill(mine);
	await dialog.getByLabel('It is for').selectOption(mine);
	await dialog.getByLabel('Stage', { exact: true }).selectOption('prod');
	await sound(page);
	await picture(page, info, 'token');
	await dialog.getByRole('button', { name: 'Make token' }).click();
	const token = (await page.getByTestId('token').textContent())!.trim();
	await dialog.getByRole('button', { name: 'Done' }).click();
	await expect(page.getByTestId('tokens').getByText(`${mine}/prod`, { exact: true })).toBeVisible();
	await sound(page);
	await picture(page, info, 'tokens');

	const pipeline = await playwright.request.newContext({ baseURL: baseURL!, extraHTTPHeaders: { Authorization: `Bearer ${token}` } });
	expect((await pipeline.get(`/api/projects/${mine}/stages/prod`)).status()).toBe(200);
	expect([403, 404]).toContain((await pipeline.get(`/api/projects/${other}/stages/prod`)).status());
	expect((await pipeline.get('/api/people')).status()).toBe(403);
	await stage.remove();
	await expect(page.getByTestId('tokens').getByText(`${mine}/prod`, { exact: true })).toHaveCount(0);
	expect((await pipeline.get('/api/session')).status()).toBe(401);
	await pipeline.dispose();
	await beside.remove();
});

test('an administrator sees somebody’s tokens on their page, and removes one', async ({ dashboard: page }, info) => {
	const name = unique(info, 'leaked');
	const me = (await (await page.request.get('/api/session')).json()) as { person: { username: string } };
	expect((await page.request.post('/api/account/tokens', { data: { name, scope: 'read' } })).status()).toBe(201);
	await page.goto(`/people/${me.person.username}`);
	await expect(page.getByTestId('tokens').getByText(name, { exact: true })).toBeVisible();
	await sound(page);
	await picture(page, info, 'person-tokens');
	await page.getByRole('button', { name: `Remove ${name}` }).click();
	await page.getByRole('alertdialog').getByRole('button', { name: 'Remove token' }).click();
	await expect(page.getByText(name, { exact: true })).toHaveCount(0);
});

/** Runs "berth login --web" as somebody with a home of their own, and gives the code that it shows and how it ends. */
async function loginByWeb(home: string, url: string, ...more: string[]) {
	const command = spawn(process.env.BERTH_BINARY!, ['login', url, '--web', '--no-browser', ...more], { env: { HOME: home }, stdio: ['ignore', 'pipe', 'pipe'] });
	let said = '';
	for (const from of [command.stdout, command.stderr]) from.on('data', (part: Buffer) => (said += part.toString()));
	const ended = new Promise<{ status: number | null; said: string }>((over) => command.on('close', (status) => over({ status, said })));
	await expect.poll(() => said).toMatch(/^ {4}[A-Z]{4}-[A-Z]{4}$/m);
	return { code: /^ {4}([A-Z]{4}-[A-Z]{4})$/m.exec(said)![1]!, page: /Open (\S+) in/.exec(said)![1]!, ended };
}

test('a command line without a password is signed in by a code', async ({ page, context, playwright, cookies, baseURL }, info) => {
	const administrator = await playwright.request.newContext({ baseURL: baseURL!, storageState: cookies });
	const [member, user] = [unique(info, 'cleo'), unique(info, 'una')];
	for (const [username, role] of [[member, 'member'], [user, 'user']]) {
		expect((await administrator.post('/api/people', { data: { username, role, password: admin.password } })).status()).toBe(201);
	}
	const home = mkdtempSync(path.join(os.tmpdir(), 'berth-home-'));
	const asks = await loginByWeb(home, baseURL!, '--expires', '48h');
	// Nobody is signed in here yet: the page leads there and back.
	await page.goto(asks.page);
	await expect(page).toHaveURL(/\/sign-in\?next=%2Fdevice$/);
	await page.getByLabel('Username').fill(member);
	await page.getByLabel('Password').fill(admin.password);
	await page.getByRole('button', { name: 'Sign in' }).click();
	await page.getByRole('button', { name: 'Not now' }).click();
	await expect(page.getByRole('heading', { name: 'Sign in a command line' })).toBeVisible();
	await sound(page);
	await picture(page, info, 'device-code');
	await page.getByLabel('Code', { exact: true }).fill('BCDF-GHJK');
	await page.getByRole('button', { name: 'Go on' }).click();
	await expect(page.getByRole('alert')).toContainText('No command line waits with this code', { ignoreCase: true });
	await page.getByLabel('Code', { exact: true }).fill(asks.code.toLowerCase().replace('-', ' '));
	await page.getByRole('button', { name: 'Go on' }).click();
	await expect(page.getByTestId('asking')).toContainText(asks.code);
	await expect(page.getByTestId('asking')).toContainText(os.hostname());
	await expect(page.getByTestId('asking')).toContainText('where you are, too');
	await expect(page.getByText('Approve only what you began yourself')).toBeVisible();
	await expect(page.getByLabel('It may')).toHaveValue('admin');
	await expect(page.getByLabel('It ends after')).toHaveValue('172800');
	await page.getByLabel('It may').selectOption('deploy');
	await page.getByLabel('It ends after').selectOption({ label: 'One day' });
	await expect(page.getByText('they would act as you for one day, with the scope “Deploy”')).toBeVisible();
	await sound(page);
	await picture(page, info, 'device-asks');
	await page.getByRole('button', { name: 'Approve' }).click();
	await expect(page.getByRole('alert')).toContainText('goes on by itself');
	await sound(page);
	await picture(page, info, 'device-approved');
	const approved = await asks.ended;
	expect(approved.status, approved.said).toBe(0);
	const berth = (...more: string[]) => execFileSync(process.env.BERTH_BINARY!, more, { env: { HOME: home }, encoding: 'utf8' });
	expect(berth('account')).toMatch(/Scope: +deploy/);
	await page.getByRole('link', { name: 'API tokens' }).first().click();
	await expect(page.getByTestId('tokens').getByText(`berth login on ${os.hostname()}`).first()).toBeVisible();
	berth('logout');

	// A user may have a token for their apps, and nothing wider.
	await context.clearCookies();
	expect((await page.request.post('/api/session', { data: { username: user, password: admin.password } })).ok()).toBe(true);
	const denied = await loginByWeb(home, baseURL!);
	await page.goto('/account/tokens');
	await page.getByRole('link', { name: 'Sign in a command line' }).click();
	await page.getByLabel('Code', { exact: true }).fill(denied.code);
	await page.getByRole('button', { name: 'Go on' }).click();
	await expect(page.getByText('It opens those of your apps that take API tokens, and nothing else.')).toBeVisible();
	await expect(page.getByLabel('It may')).toHaveCount(0);
	await sound(page);
	await picture(page, info, 'device-user');
	await page.getByRole('button', { name: 'Deny' }).click();
	await expect(page.getByRole('alert')).toContainText('It gets nothing');
	await sound(page);
	await picture(page, info, 'device-denied');
	expect((await denied.ended).status).toBe(4);
	rmSync(home, { recursive: true });
	for (const username of [member, user]) await administrator.delete(`/api/people/${username}`);
	await administrator.dispose();
});
