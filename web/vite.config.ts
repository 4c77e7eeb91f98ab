import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vite';

export default defineConfig({
	plugins: [tailwindcss(), sveltekit()],
	build: { target: 'es2022', assetsInlineLimit: 0 },
	// `npm run dev` beside a running `berth serve`.
	server: { host: '127.0.0.1', proxy: { '/api': 'http://127.0.0.1:8080' } }
});
