import http from 'node:http';

const server = new URL(process.env.BERTH_URL ?? 'http://localhost:8080');

/** Asks a stage's app once, by its hostname, as a visitor of that name. */
export function visit(host: string, agent = 'visitor', accept = '*/*'): Promise<{ status: number; body: string }> {
	return new Promise((resolve, reject) => {
		http
			.get({ host: '127.0.0.1', port: server.port, path: '/', headers: { host, 'user-agent': agent, accept }, agent: false }, (answer) => {
				let body = '';
				answer.on('data', (part) => (body += part)).on('end', () => resolve({ status: answer.statusCode ?? 0, body })).on('error', reject);
			})
			.on('error', reject);
	});
}

/** Keeps visitors coming until it is called. */
export function visitors(host: string): () => Promise<void> {
	let on = true;
	const coming = (async () => {
		for (let n = 0; on; n++) {
			await visit(host, `visitor ${n % 20}`);
			await new Promise((next) => setTimeout(next, 20));
		}
	})();
	return async () => {
		on = false;
		await coming;
	};
}
