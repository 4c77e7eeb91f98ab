import { defineConfig } from '@playwright/test';
import type { Options } from './berth.ts';

// A real server, started by the Go tests of ../, is at BERTH_URL. Each look
// below walks everything, with names of its own.
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
		screenshot: 'only-on-failure',
		contextOptions: { reducedMotion: 'reduce' }
	},
	projects: [
		{ name: 'light', use: { theme: 'light', viewport: { width: 1280, height: 860 } } },
		{ name: 'dark', testIgnore: 'access.spec.ts', use: { theme: 'dark', viewport: { width: 1280, height: 860 } } },
		{ name: 'phone', testIgnore: 'access.spec.ts', use: { theme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true } }
	]
});
