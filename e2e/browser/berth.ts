/** What every walk stands on: a browser of its own, a person signed in, and no tolerance for errors. */
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test as base, type Locator, type Page, type Route, type TestInfo } from '@playwright/test';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { looks, walkedInEach } from './looks.ts';

export { expect };

export const admin = { username: process.env.BERTH_ADMIN_USER ?? 'admin', password: process.env.BERTH_ADMIN_PASSWORD ?? '' };
export const image = process.env.BERTH_IMAGE ?? 'hello';
/** The set-up links of servers where nobody is yet, for each look, of one on which sessions may end, "rule", and of one that asks everybody for a second factor, "required": each works once. */
export const setupLinks = JSON.parse(process.env.BERTH_SETUP_LINKS ?? '{}') as Record<string, string>;
/** Zitadel's library, started by the Go tests, which knows the server as a client, and somebody there. */
export const zitadel = JSON.parse(process.env.BERTH_TEST_ZITADEL ?? 'null') as Record<'issuer' | 'client' | 'secret' | 'username' | 'password', string> | null;
const server = new URL(process.env.BERTH_URL ?? 'http://localhost:8080');
/** The ports of providers that the browser can reach. */
const providerPorts = [process.env.BERTH_TEST_PROVIDER_PORT, zitadel && new URL(zitadel.issuer).port].filter((port) => !!port) as string[];

export interface Options {
	theme: 'light' | 'dark';
	/** The statuses that a walk has requests fail with, besides those that are no error of the dashboard. */
	provoked: number[];
}

type Cookies = Awaited<ReturnType<import('@playwright/test').APIRequestContext['storageState']>>;

interface Fixtures extends Options {
	clean: void;
	/** A session of the administrator, younger than what takes a fresh proof asks for. */
	cookies: Cookies;
	/** A page of the administrator, signed in. */
	dashboard: Page;
}

interface WorkerFixtures {
	session: () => Promise<Cookies>;
}

// What a wrong password, a look at who is signed in, and a page that is not
// there answer is no error of the dashboard.
const expected = /status of (401|403|404|409|422|429)/;

export const test = base.extend<Fixtures, WorkerFixtures>({
	theme: ['light', { option: true }],
	provoked: [[], { option: true }],

	launchOptions: [
		async ({}, use) => {
			const folder = mkdtempSync(path.join(os.tmpdir(), 'berth-relay-'));
			const ports = [server.href, ...Object.values(setupLinks)].map((url) => new URL(url).port || '80').concat(providerPorts);
			const relays = ports.map((port) =>
				net.createServer((client) => {
					const upstream = net.connect(Number(port), '127.0.0.1');
					client.pipe(upstream).pipe(client);
					client.on('error', () => upstream.destroy());
					upstream.on('error', () => client.destroy());
				})
			);
			await Promise.all(relays.map((relay, i) => new Promise<void>((listening) => relay.listen(path.join(folder, ports[i]!), listening))));
			const chromium = process.env.BERTH_CHROMIUM ?? 'chromium';
			await use({
				executablePath: path.join(import.meta.dirname, 'alone.sh'),
				env: { ...(process.env as Record<string, string>), BERTH_CHROMIUM: chromium, BERTH_RELAYS: folder, BERTH_PORTS: ports.join() },
				args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
			});
			for (const relay of relays) relay.close();
			rmSync(folder, { recursive: true, force: true });
		},
		{ scope: 'worker' }
	],

	session: [
		async ({ playwright }, use) => {
			const request = await playwright.request.newContext({ baseURL: server.origin });
			let began = 0;
			await use(async () => {
				if (Date.now() - began > 4 * 60_000) {
					const answer = await request.post('/api/session', { data: admin });
					expect(answer.status(), await answer.text()).toBe(200);
					began = Date.now();
				}
				return request.storageState();
			});
			await request.delete('/api/session');
			await request.dispose();
		},
		{ scope: 'worker' }
	],

	cookies: async ({ session }, use) => use(await session()),

	clean: [
		async ({ page, theme, provoked }, use) => {
			const meant = (text: string) => expected.test(text) || provoked.some((status) => text.includes(`status of ${status}`));
			const errors: string[] = [];
			page.on('pageerror', (e) => errors.push(`page error: ${e.message}`));
			page.on('console', (m) => {
				// What a provider's own pages lack is not the dashboard's.
				if (m.location().url && providerPorts.includes(new URL(m.location().url).port)) return;
				if (!page.url().startsWith(server.origin) && providerPorts.length > 0) return;
				if (m.type() === 'error' && !meant(m.text())) errors.push(`console: ${m.text()} (${page.url()})`);
			});
			await page.addInitScript((t) => {
				localStorage.setItem('mode-watcher-mode', t);
				document.addEventListener('securitypolicyviolation', (e) => console.error(`CSP ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
			}, theme);
			await use();
			expect(errors).toEqual([]);
		},
		{ auto: true }
	],

	dashboard: async ({ page, context, cookies }, use) => {
		await context.addCookies(cookies.cookies);
		await use(page);
	}
});

const run = (Date.now() % 46_656).toString(36);

/** A name that no other look and no earlier try has used. */
export function unique(info: TestInfo, name: string): string {
	return `${name}-${info.project.name}-${run}${info.retry ? `-${info.retry}` : ''}`;
}

/** Hits it as people of this look do: with a finger on a phone. */
export function press(target: Locator): Promise<void> {
	return test.info().project.use.hasTouch ? target.tap() : target.click();
}

/** Does what is refused once, at an address, until its person proves who they are, and gives up proving it: a proof would have the session that walks share go on with another token. */
export async function unproved(page: Page, address: string, act: () => Promise<void>) {
	const refuse = (r: Route) =>
		r.request().method() === 'GET'
			? r.fallback()
			: r.fulfill({ status: 403, contentType: 'application/problem+json', body: JSON.stringify({ title: 'Forbidden', status: 403, code: 'step_up', detail: 'prove again who you are' }) });
	await page.route(address, refuse);
	await act();
	const proof = page.getByRole('dialog', { name: 'Is it still you?' });
	await expect(proof).toBeVisible();
	await page.unroute(address, refuse);
	await page.keyboard.press('Escape');
	await expect(proof).toBeHidden();
}

/** A project with one stage, "prod", made without the dashboard, for walks that are about something else. */
export async function makeStage(page: Page, project: string, more: object = {}) {
	const stage = `/api/projects/${project}/stages/prod`;
	const ask = async (method: 'get' | 'post' | 'delete', path: string, data?: object) => {
		const answer = await page.request[method](path, data ? { data } : {});
		expect(answer.ok(), `${method} ${path}: ${await answer.text()}`).toBe(true);
		return answer.json();
	};
	await ask('post', '/api/projects', { name: project, image });
	const spec = { hostname: `${project}.localhost`, access: { rules: [{ allow: { public: true } }] }, tags: { kind: 'none' }, port: 8080, probe: { path: '/health' }, drain_timeout: '1s', stream_drain_timeout: '1s', stop_timeout: '1s', ...more };
	await ask('post', `/api/projects/${project}/stages`, { name: 'prod', spec });
	const app = new URL(server);
	app.hostname = `${project}.localhost`;
	return {
		/** Where its app is. */
		app: app.origin,
		/** Its page. */
		path: `/projects/${project}/stages/prod`,
		/** Deploys a tag and waits until it serves. */
		async live(tag: string) {
			const { id } = await ask('post', `${stage}/deployments`, { reference: tag });
			await expect.poll(async () => (await ask('get', `/api/deployments/${id}`)).state, { timeout: 60_000 }).toBe('live');
		},
		spec: async () => (await ask('get', stage)).spec as Record<string, unknown>,
		remove: () => ask('delete', `/api/projects/${project}`)
	};
}

/** Nothing that axe finds, and nothing wider than the screen, in any look that this walk stands for. */
export async function sound(page: Page): Promise<void> {
	const { file, project } = test.info();
	if (walkedInEach.includes(path.basename(file))) return soundAsIs(page, project.name);
	for (const [name, look] of Object.entries(looks)) {
		await show(page, look);
		await soundAsIs(page, name);
	}
	await show(page, looks.light);
}

async function soundAsIs(page: Page, look: string): Promise<void> {
	// A page that was only just gone to is drawn by its script, a little later.
	await expect(page.locator('h1').first(), `${look}: the page has no heading`).toBeAttached();
	const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
	// What a bar at the edge of the screen covers in part comes out when the page is scrolled.
	const covered = (n: { failureSummary?: string }) => n.failureSummary?.includes('partially obscured') ?? false;
	const violations = found.violations.map((v) => ({ ...v, nodes: v.nodes.filter((n) => !covered(n)) })).filter((v) => v.nodes.length > 0);
	expect(violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary?.split('\n')[1] ?? ''}`).join(' | ')}`), look).toEqual([]);
	const { wide, screen } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, screen: window.innerWidth }));
	expect(wide, `${look}: the page scrolls sideways`).toBeLessThanOrEqual(screen);
}

/** Has the page look so, without loading it again: an open dialog stays open. */
async function show(page: Page, look: (typeof looks)[keyof typeof looks]): Promise<void> {
	await page.setViewportSize(look.viewport);
	await page.emulateMedia({ colorScheme: look.theme }); // for what is not the dashboard
	// As another tab that changes it, so that charts and messages follow.
	const follows = await page.evaluate((theme) => {
		const key = 'mode-watcher-mode';
		localStorage.setItem(key, theme);
		dispatchEvent(new StorageEvent('storage', { key, newValue: theme, storageArea: localStorage }));
		return document.documentElement.style.colorScheme !== '';
	}, look.theme);
	if (follows) await expect(page.locator('html')).toHaveCSS('color-scheme', look.theme);
}

/** Keeps a picture for the README and for those who want to see, in each look that this walk stands for. */
export async function picture(page: Page, info: TestInfo, name: string): Promise<void> {
	const folder = process.env.BERTH_PICTURES;
	if (!folder) return;
	const keep = (look: string) => page.screenshot({ path: path.join(folder, `${name}-${look}.png`) });
	if (walkedInEach.includes(path.basename(info.file))) {
		await keep(info.project.name);
		return;
	}
	for (const [look, how] of Object.entries(looks)) {
		await show(page, how);
		await keep(look);
	}
	await show(page, looks.light);
}
