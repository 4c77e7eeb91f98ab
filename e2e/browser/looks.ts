/** The looks that the dashboard is held to. */
export const looks = {
	light: { theme: 'light', viewport: { width: 1280, height: 860 } },
	dark: { theme: 'dark', viewport: { width: 1280, height: 860 } },
	phone: { theme: 'light', viewport: { width: 390, height: 844 } }
} as const;

/** Walked in each look. Everything else is walked once, in light, and looked at in each: see sound(). */
export const walkedInEach = ['first-app.spec.ts', 'pages.spec.ts', 'setup.spec.ts', 'exec.spec.ts', 'promote.spec.ts', 'variables.spec.ts', 'canary.spec.ts', 'logs.spec.ts', 'sources.spec.ts'];
