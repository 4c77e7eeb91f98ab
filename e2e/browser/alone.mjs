// Inside the namespace: brings the server's port there, through a Unix socket
// that the tests keep outside, then runs Chromium with the pipes that
// Playwright talks to it by.
import { spawn } from 'node:child_process';
import net from 'node:net';

const { BERTH_CHROMIUM, BERTH_RELAY, BERTH_PORT } = process.env;

const inside = net.createServer((client) => {
	const server = net.connect(BERTH_RELAY);
	client.pipe(server).pipe(client);
	client.on('error', () => server.destroy());
	server.on('error', () => client.destroy());
});
inside.listen(Number(BERTH_PORT), '127.0.0.1', () => {
	const chromium = spawn(BERTH_CHROMIUM, process.argv.slice(2), { stdio: [0, 1, 2, 3, 4] });
	for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => chromium.kill(signal));
	chromium.on('exit', (code) => process.exit(code ?? 1));
});
