/** A real OpenID provider, oidc-provider, on this machine, which is where the server is too. */
import http from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import type { Page } from '@playwright/test';
import Provider from 'oidc-provider';

export const client = { id: 'berth', secret: 'a secret of the client' };

/** Sends what the provider tells Berth: a form, to this machine. */
function tell(url: string | URL, options: RequestInit): Promise<Response> {
	const to = new URL(url);
	const body = String(options.body ?? '');
	return new Promise((answered, failed) => {
		const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body), host: to.host };
		const request = http.request({ host: '127.0.0.1', port: to.port, path: to.pathname, method: options.method, headers, timeout: 10_000 }, (response) => {
			response.resume().on('end', () => answered(new Response(null, { status: response.statusCode! })));
		});
		request.on('error', failed).end(body);
	});
}

/** Starts one on the port that the browser can reach. Its people sign in with any password. */
export async function startProvider(port: number, redirect: string, logout: string, pushed: boolean) {
	const issuer = `http://localhost:${port}`;
	const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
	const told: string[] = [];
	let toldAt = 0;
	const renewedWith: string[] = [];
	const refused: string[] = [];
	const provider = new Provider(issuer, {
		jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'key', use: 'sig', alg: 'RS256' }] },
		clients: [
			{
				client_id: client.id,
				client_secret: client.secret,
				redirect_uris: [redirect],
				post_logout_redirect_uris: [new URL('/sign-in', redirect).href],
				grant_types: ['authorization_code', 'refresh_token'],
				backchannel_logout_uri: logout,
				backchannel_logout_session_required: true
			}
		],
		cookies: { keys: ['a key for cookies'] },
		claims: { openid: ['sub'], profile: ['preferred_username', 'name'], email: ['email', 'email_verified'], groups: ['groups'] },
		features: {
			devInteractions: { enabled: true },
			backchannelLogout: { enabled: true },
			rpInitiatedLogout: { enabled: true },
			pushedAuthorizationRequests: { enabled: pushed, requirePushedAuthorizationRequests: pushed }
		},
		pkce: { required: () => true },
		// Without offline_access, for which people would be asked each time. What it gives is due to be renewed at once.
		issueRefreshToken: () => true,
		ttl: { AccessToken: 50 },
		rotateRefreshToken: true,
		conformIdTokenClaims: true,
		// Node's own fetch would look for localhost elsewhere than the server listens.
		fetch: tell,
		findAccount: (_, sub) => ({
			accountId: sub,
			claims: () => ({ sub, preferred_username: sub, name: sub.toUpperCase(), email: `${sub}@example.org`, email_verified: true, groups: ['crew'] })
		})
	});
	provider.on('backchannel.success', () => {
		told.push('taken');
		toldAt = Date.now();
	});
	provider.on('backchannel.error', (_: unknown, e: Error) => told.push(`refused: ${e.message}`));
	provider.on('grant.success', (ctx: { oidc: { params: Record<string, string> } }) => {
		const { grant_type: kind, refresh_token: token } = ctx.oidc.params;
		if (kind === 'refresh_token') renewedWith.push(token!);
	});
	provider.on('grant.error', (_: unknown, e: { error: string }) => refused.push(e.error));
	const server = http.createServer(provider.callback());
	await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
	return {
		issuer,
		/** What came of telling Berth of sign-outs. */
		told,
		/** When Berth took the last of them. */
		toldAt: () => toldAt,
		/** The refresh tokens that it took, each of them once. */
		renewedWith,
		/** The errors with which it refused tokens. */
		refused,
		close: () => {
			server.close();
			server.closeAllConnections();
		}
	};
}

/** Signs in on the provider's own pages, which ask who it is and then, the first time, whether Berth may know. */
export async function signInThere(page: Page, who: string, agreed = false) {
	await page.getByPlaceholder('Enter any login').fill(who);
	await page.getByPlaceholder('and password').fill('anything');
	await page.getByRole('button', { name: 'Sign-in' }).click();
	if (!agreed) await page.getByRole('button', { name: 'Continue' }).click();
}
