import { expect, makeStage, test, unique } from './berth.ts';
import { client, signInThere, startProvider } from './provider.ts';

const port = Number(process.env.BERTH_TEST_PROVIDER_PORT);
const base = process.env.BERTH_URL ?? 'http://localhost:8080';

test('an app gets tokens of who comes, renewed by rotation until somebody else uses one', async ({ dashboard: admin, browser, playwright }, info) => {
	test.skip(!port, 'no port that the browser can reach');
	const slug = unique(info, 'keys').slice(0, 31);
	const who = unique(info, 'kim');
	const provider = await startProvider(port, `${base}/auth/${slug}/callback`, `${base}/auth/${slug}/backchannel-logout`, false);
	const added = await admin.request.post('/api/providers', {
		data: { slug, preset: 'oidc', label: slug, issuer: provider.issuer, client_id: client.id, client_secret: client.secret, create: true, enabled: true }
	});
	expect(added.ok(), await added.text()).toBe(true);
	// Its app shows what it was sent, the assertion with it.
	const stage = await makeStage(admin, unique(info, 'hold'), {
		access: { audience: 'https://hold.example', tokens_of: slug, rules: [{ allow: { signed_in: true } }] },
		env: { APP_REPORT: 'yes' }
	});
	await stage.live('1');
	const context = await browser.newContext({ baseURL: base });
	const page = await context.newPage();
	const program = await playwright.request.newContext();
	const local = (address: string) => ({ url: address.replace('localhost', '127.0.0.1'), host: new URL(address).host });

	/** What came with the page for the app to ask with. */
	async function shown() {
		await page.goto(stage.app);
		return /X-Berth-Assertion: (\S+)/.exec((await page.locator('body').textContent())!)![1]!;
	}

	/** What the app does: it gives Berth the assertion that came with the page, for a token of the provider's. */
	async function exchange(assertion?: string) {
		assertion ??= await shown();
		const { url, host } = local(`${base}/api/token-exchange`);
		const answer = await program.post(url, {
			headers: { host },
			form: { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: assertion, subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }
		});
		return { status: answer.status(), ...((await answer.json()) as { access_token?: string; error?: string; sign_in?: string }) };
	}

	/** Whose a token is, as the provider says. */
	async function owner(token: string) {
		const { url, host } = local(`${provider.issuer}/me`);
		const answer = await program.get(url, { headers: { host, authorization: `Bearer ${token}` } });
		expect(answer.status()).toBe(200);
		return ((await answer.json()) as { sub: string }).sub;
	}

	async function signIn() {
		await page.goto(stage.app);
		await page.getByRole('link', { name: `Sign in with ${slug}` }).click();
	}

	await test.step('each token that is near its end is renewed, with a refresh token that was not used before', async () => {
		await signIn();
		await signInThere(page, who);
		await expect(page).toHaveURL(`${stage.app}/`);
		const tokens = [await exchange(), await exchange(), await exchange()];
		for (const { access_token: token } of tokens) expect(await owner(token!)).toBe(who);
		expect(new Set(tokens.map((t) => t.access_token)).size).toBe(3);
		expect(new Set(provider.renewedWith).size).toBe(3);
	});

	await test.step('a token that somebody else used as well ends the grant and the session, and is asked for once', async () => {
		const assertion = await shown();
		const { url, host } = local(`${provider.issuer}/token`);
		const authorization = `Basic ${Buffer.from(`${client.id}:${encodeURIComponent(client.secret)}`).toString('base64')}`;
		const thief = await program.post(url, { headers: { host, authorization }, form: { grant_type: 'refresh_token', refresh_token: provider.renewedWith[0]! } });
		expect(await thief.json()).toMatchObject({ error: 'invalid_grant' });
		for (let i = 0; i < 2; i++) expect(await exchange(assertion)).toMatchObject({ status: 400, error: 'invalid_grant', sign_in: `${base}/auth/${slug}/start` });
		expect(provider.renewedWith).toHaveLength(3);
		expect(provider.refused).toEqual(['invalid_grant', 'invalid_grant']); // the thief's, and one of Berth's
	});

	await test.step('signing in again begins a new one', async () => {
		await page.goto(stage.app);
		await expect(page).not.toHaveURL(`${stage.app}/`);
		await page.goto(`${base}/auth/${slug}/start`);
		await page.getByRole('button', { name: 'Continue' }).click(); // what Berth may know was forgotten with the grant
		await expect(page).toHaveURL(`${base}/`);
		expect(await owner((await exchange()).access_token!)).toBe(who);
	});

	await program.dispose();
	await context.close();
	await stage.remove();
	expect((await admin.request.delete(`/api/providers/${slug}?force=true`)).ok()).toBe(true);
	provider.close();
});
