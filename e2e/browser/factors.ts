/** What walks of second factors do in a browser. */
import type { BrowserContext, Page } from '@playwright/test';
import { createHmac } from 'node:crypto';
import { expect, sound } from './berth.ts';

/** Chromium's own virtual authenticator. It answers all that it is asked while a finger is on it, the sign-in page's standing offer too. */
export async function authenticator(page: Page) {
	const cdp = await page.context().newCDPSession(page);
	await cdp.send('WebAuthn.enable');
	const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
		options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: false }
	});
	const finger = (enabled: boolean) => cdp.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled });
	return async (act: () => Promise<unknown>, until: () => Promise<unknown>) => {
		await finger(true);
		await act();
		await until();
		await finger(false);
	};
}

/** The code of an app (RFC 6238), some steps of 30 seconds from now. */
export function code(secret: string, steps = 0): string {
	const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
	const bits = [...secret].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('');
	const key = Buffer.from(bits.match(/.{8}/g)!.map((b) => parseInt(b, 2)));
	const counter = Buffer.alloc(8);
	counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
	const mac = createHmac('sha1', key).update(counter).digest();
	const at = mac[19]! & 15;
	return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

export async function keepCodes(page: Page): Promise<string[]> {
	await expect(page.getByTestId('recovery-codes').getByRole('listitem')).toHaveCount(10);
	const codes = await page.getByTestId('recovery-codes').getByRole('listitem').allTextContents();
	await sound(page);
	await page.getByRole('button', { name: 'I have kept them' }).click();
	return codes;
}

export async function type(page: Page, username: string, password: string) {
	await page.goto('/sign-in');
	await page.getByLabel('Username').fill(username);
	await page.getByLabel('Password').fill(password);
	await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Signs out without looking at the screen. */
export const leave = (context: BrowserContext) => context.clearCookies();
