// Inside the namespace: brings the servers' ports there, each through a Unix
// socket that the tests keep outside, then runs Chromium with the pipes that
// Playwright talks to it by.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';

const { BERTH_CHROMIUM, BERTH_RELAYS, BERTH_PORTS } = process.env;

for (const port of BERTH_PORTS.split(',')) {
	const inside = net.createServer((client) => {
		const server = net.connect(path.join(BERTH_RELAYS, port));
		client.pipe(server).pipe(client);
		client.on('error', () => server.destroy());
		server.on('error', () => client.destroy());
	});
	await once(inside.listen(Number(port), '127.0.0.1'), 'listening');
}
const chromium = spawn(BERTH_CHROMIUM, process.argv.slice(2), { stdio: [0, 1, 2, 3, 4] });
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => chromium.kill(signal));
chromium.on('exit', (code) => process.exit(code ?? 1));
