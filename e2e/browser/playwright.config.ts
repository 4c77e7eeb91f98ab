import { defineConfig } from '@playwright/test';
import type { Options } from './berth.ts';
import { looks, walkedInEach } from './looks.ts';

// A real server, started by the Go tests of ../, is at BERTH_URL. What is
// walked in more than one look has names of its own in each.
export default defineConfig<object, Options>({
	testDir: '.',
	fullyParallel: false,
	workers: 1,
	retries: 0,
	timeout: 300_000,
	expect: { timeout: 20_000 },
	reporter: [['list']],
	outputDir: 'test-results',
	use: {
		baseURL: process.env.BERTH_URL ?? 'http://localhost:8080',
		browserName: 'chromium',
		headless: true,
		// What stands still says where, long before its walk's time is over.
		actionTimeout: 60_000,
		navigationTimeout: 60_000,
		screenshot: 'only-on-failure',
		contextOptions: { reducedMotion: 'reduce' }
	},
	projects: [
		{ name: 'light', use: looks.light },
		{ name: 'dark', testMatch: walkedInEach, use: looks.dark },
		{ name: 'phone', testMatch: walkedInEach, use: { ...looks.phone, hasTouch: true } }
	]
});
