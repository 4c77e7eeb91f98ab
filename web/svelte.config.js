import adapter from '@sveltejs/adapter-static';
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

/** @type {import('@sveltejs/kit').Config} */
export default {
	preprocess: vitePreprocess(),
	compilerOptions: { runes: ({ filename }) => (filename.includes('node_modules') ? undefined : true) },
	kit: {
		// One shell for every route: Go serves it for paths it does not know.
		adapter: adapter({ pages: 'build', assets: 'build', fallback: 'index.html', precompress: true }),
		// A stable name makes the build reproducible; asking for it now and then
		// lets an open tab notice that the binary was upgraded.
		version: { name: process.env.BERTH_VERSION ?? 'dev', pollInterval: 60_000 }
	}
};
