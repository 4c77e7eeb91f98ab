import type { Browser, Page } from '@playwright/test';
import { expect, makeStage, test, unique } from './berth.ts';
import { client, signInThere, startProvider } from './provider.ts';

const port = Number(process.env.BERTH_TEST_PROVIDER_PORT);
const base = process.env.BERTH_URL ?? 'http://localhost:8080';

/** A browser in which nobody has signed in, with the pages that it was led over. */
async function stranger(browser: Browser) {
	const context = await browser.newContext({ baseURL: base });
	const page = await context.newPage();
	const way: string[] = [];
	page.on('request', (r) => {
		const to = new URL(r.url());
		if (r.isNavigationRequest() && r.frame() === page.mainFrame()) way.push(to.origin + to.pathname);
	});
	return { context, page, way };
}

/** Opens a WebSocket and an event stream on an app's page, and waits until both have brought something. */
async function open(page: Page) {
	await page.evaluate(async () => {
		const socket = new WebSocket(`ws://${location.host}/ws`);
		const stream = new EventSource('/events?n=100000');
		const live = { socket, stream, cut: {} as Record<string, number> };
		Object.assign(window, { live });
		await new Promise<void>((heard, failed) => {
			socket.onopen = () => socket.send('ahoy');
			socket.onmessage = () => heard();
			socket.onerror = () => failed(new Error('no WebSocket'));
		});
		await new Promise<void>((heard, failed) => {
			stream.onmessage = () => heard();
			stream.onerror = () => failed(new Error('no event stream'));
		});
		// An event stream that is cut is asked for again by the browser: only the first time counts.
		socket.onclose = () => (live.cut.socket ??= Date.now());
		stream.onerror = () => (live.cut.stream ??= Date.now());
	});
}

interface Live {
	live: { socket: WebSocket; stream: EventSource; cut: Record<string, number> };
}

/** Both were open when a sign-out began, and were cut within a second of its end. */
async function expectCut(page: Page, began: number, ended: number) {
	const cut = () => page.evaluate(() => (window as unknown as Live).live.cut);
	await expect.poll(async () => Object.keys(await cut()).sort()).toEqual(['socket', 'stream']);
	for (const [what, at] of Object.entries(await cut())) {
		expect(at, `the ${what} was open until then`).toBeGreaterThanOrEqual(began);
		expect(at - ended, `how long the ${what} stayed open`).toBeLessThan(1000);
	}
	await expect.poll(() => page.evaluate(() => (window as unknown as Live).live.stream.readyState), 'the stream is not to be had again').toBe(2);
}

test('an app is entered by way of a provider, and signing out ends all that was open', async ({ dashboard: admin, browser, playwright }, info) => {
	test.skip(!port, 'no port that the browser can reach');
	test.slow();
	const slug = unique(info, 'quay').slice(0, 31);
	const who = unique(info, 'ida');
	const provider = await startProvider(port, `${base}/auth/${slug}/callback`, `${base}/auth/${slug}/backchannel-logout`, false);
	const added = await admin.request.post('/api/providers', {
		data: { slug, preset: 'oidc', label: slug, issuer: provider.issuer, client_id: client.id, client_secret: client.secret, scopes: ['openid', 'profile', 'email', 'groups'], create: true, enabled: true, sign_out: true }
	});
	expect(added.ok(), await added.text()).toBe(true);
	// Its app says what it was sent, to the byte.
	const guarded = { access: { audience: 'https://quay.example', rules: [{ allow: { signed_in: true } }] }, env: { APP_REPORT: 'yes' } };
	const stages = [await makeStage(admin, unique(info, 'inner'), guarded), await makeStage(admin, unique(info, 'outer'), guarded)] as const;
	for (const stage of stages) await stage.live('1');
	const [app, other] = [stages[0].app, stages[1].app];
	const { context, page, way } = await stranger(browser);
	const tab = await context.newPage();

	await test.step('a program is told to sign in, and led nowhere', async () => {
		const program = await playwright.request.newContext({ extraHTTPHeaders: { host: new URL(app).host } });
		const answer = await program.get(base.replace('localhost', '127.0.0.1'), { maxRedirects: 0 });
		expect(answer.status()).toBe(401);
		expect(answer.headers()['www-authenticate']).toBe('Bearer realm="berth"');
		expect(answer.headers()['location']).toBeUndefined();
		await program.dispose();
	});

	await test.step('a browser is led to the sign-in page, the provider, and back to what it asked for', async () => {
		await page.goto(`${app}/pages/1?of=book`);
		await expect(page.getByRole('link', { name: `Sign in with ${slug}` })).toBeVisible();
		expect(new URL(page.url()).origin).toBe(base);
		await page.getByRole('link', { name: `Sign in with ${slug}` }).click();
		await signInThere(page, who);
		await expect(page).toHaveURL(`${app}/pages/1?of=book`);
		const enter = `${base}/auth/enter`;
		const through = [`${app}/pages/1`, enter, `${base}/sign-in`, `${base}/auth/${slug}/start`, `${provider.issuer}/auth`, `${base}/auth/${slug}/callback`, enter, `${app}/.berth/ticket`, `${app}/pages/1`];
		expect(way.filter((at) => through.includes(at))).toEqual(through);
	});

	await test.step('the app is told who it is', async () => {
		const told = page.locator('body');
		for (const line of [`X-Berth-User: ${who}`, `X-Berth-Email: ${who}@example.org`, `X-Berth-Groups: ${slug}:crew`, `X-Berth-Provider: ${slug}`, `X-Berth-External-Id: ${who}`, 'X-Berth-Assertion: ey']) {
			await expect(told).toContainText(line);
		}
		// The cookie of the app's host is its own, and the app does not see it.
		const cookie = async (at: string) => (await context.cookies(at)).find((c) => c.name === 'berth');
		const [here, there] = [await cookie(app), await cookie(base)];
		expect(here).toMatchObject({ domain: new URL(app).hostname, httpOnly: true, sameSite: 'Lax' });
		expect(here!.value).not.toBe(there!.value);
		await expect(told).not.toContainText(here!.value);
	});

	await test.step('another app is entered without being asked', async () => {
		await tab.goto(`${other}/`);
		await expect(tab).toHaveURL(`${other}/`);
		await expect(tab.locator('body')).toContainText(`X-Berth-User: ${who}`);
	});

	await test.step('signing out at the one ends what is open at the other, and all else', async () => {
		await open(page);
		await tab.goto(`${other}/.berth/sign-out`);
		await expect(tab.locator('body')).toContainText(`You are signed in as`);
		const began = Date.now();
		const answered = tab.waitForResponse((r) => r.request().method() === 'POST').then(() => Date.now());
		await tab.getByRole('button', { name: 'Sign out' }).click();
		await expectCut(page, began, await answered);
		expect((await context.request.get('/api/session')).status()).toBe(401);
	});

	await test.step('and leads on to signing out at the provider', async () => {
		await tab.getByRole('button', { name: /yes/i }).click();
		await expect(tab).toHaveURL(`${base}/sign-in?state=signed_out`);
		await expect.poll(() => provider.told).toEqual(['taken']);
	});

	await test.step('what the page asks for by itself is refused, and each app asks again', async () => {
		const background = await page.evaluate(async () => {
			const answer = await fetch('/data');
			return { status: answer.status, redirected: answer.redirected, scheme: answer.headers.get('WWW-Authenticate') };
		});
		// A token that is dead is said to be: RFC 6750 section 3.1.
		expect(background).toEqual({ status: 401, redirected: false, scheme: expect.stringMatching(/^Bearer realm="berth"/) });
		for (const at of [other, app]) {
			await page.goto(`${at}/again`);
			await expect(page.getByRole('link', { name: `Sign in with ${slug}` })).toBeVisible();
			expect(new URL(page.url()).origin).toBe(base);
		}
	});

	await test.step('signing out at the provider ends it all as well, over the back channel', async () => {
		await page.getByRole('link', { name: `Sign in with ${slug}` }).click();
		await signInThere(page, who);
		await expect(page).toHaveURL(`${app}/again`);
		await open(page);
		await tab.goto(`${provider.issuer}/session/end`);
		const began = Date.now();
		await tab.getByRole('button', { name: /yes/i }).click();
		await expect.poll(() => provider.told).toEqual(['taken', 'taken']);
		await expectCut(page, began, provider.toldAt());
		expect((await context.request.get('/api/session')).status()).toBe(401);
		await page.goto(`${app}/again`);
		await page.getByRole('link', { name: `Sign in with ${slug}` }).click();
		await expect(page.getByPlaceholder('Enter any login'), 'the provider asks, too').toBeVisible();
	});

	await test.step('led straight to the provider, whoever signs out at an app can be somebody else', async () => {
		const mode = (await (await admin.request.get('/api/sign-in-mode')).json()) as { version: number };
		const straight = await admin.request.put('/api/sign-in-mode', { data: { passwords: 'everybody', straight_to: slug, version: mode.version } });
		expect(straight.ok(), await straight.text()).toBe(true);
		try {
			// Nor does the provider forget who was there.
			const set = await admin.request.patch(`/api/providers/${slug}`, { data: { version: 1, sign_out: false } });
			expect(set.ok(), await set.text()).toBe(true);
			await page.goto(`${app}/straight`);
			await signInThere(page, who);
			await expect(page).toHaveURL(`${app}/straight`);
			await page.goto(`${app}/.berth/sign-out`);
			await page.getByRole('button', { name: 'Sign out' }).click();
			await expect(page.getByText('You are signed out, here and everywhere else.')).toBeVisible();
			await page.getByRole('link', { name: 'Sign in' }).click();
			await page.getByRole('link', { name: `Sign in with ${slug}` }).click();
			const somebody = unique(info, 'olga');
			await signInThere(page, somebody);
			await expect(page).toHaveURL(`${app}/`);
			await expect(page.locator('body')).toContainText(`X-Berth-User: ${somebody}`);
		} finally {
			const now = (await (await admin.request.get('/api/sign-in-mode')).json()) as { version: number };
			await admin.request.put('/api/sign-in-mode', { data: { passwords: 'everybody', version: now.version } });
		}
	});

	await context.close();
	for (const stage of stages) await stage.remove();
	expect((await admin.request.delete(`/api/providers/${slug}?force=true`)).ok()).toBe(true);
	provider.close();
});
