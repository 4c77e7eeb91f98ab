import type { DeviceAsking, Token } from './api/types';

/** What an API token may do. */
export const scopes: { value: Token['scope']; label: string; help: string }[] = [
	{ value: 'read', label: 'Read', help: 'Look, and pull images.' },
	{ value: 'deploy', label: 'Deploy', help: 'Also push images, deploy and roll back.' },
	{ value: 'admin', label: 'Admin', help: 'Everything you may.' }
];
const day = 86_400;
const spans = [1, 7, 30, 90, 365].map((days) => ({ seconds: days * day, label: days === 1 ? 'One day' : days === 365 ? 'One year' : `${days} days` }));

/** What a command line may be given: all up to what it asks for. */
export const scopesFor = (asked: DeviceAsking) => scopes.slice(0, scopes.findIndex((s) => s.value === asked.scope) + 1);

/** How long its token may be good: what it asks for, or shorter. */
export function livesFor(asked: DeviceAsking): { value: string; label: string }[] {
	const shorter = spans.filter((s) => s.seconds < asked.lives);
	const whole = spans.find((s) => s.seconds === asked.lives)?.label ?? spanInWords(asked.lives);
	return [...shorter.map((s) => ({ value: `${s.seconds}`, label: s.label })), { value: `${asked.lives}`, label: whole }];
}

/** How long "berth login" asks for by itself. */
const usual = 90 * day;

/**
 * What is chosen at first: what it asks for, but no longer than usual, and the least where it asks from elsewhere. Who asks is
 * a stranger until somebody has looked.
 */
export function firstChoice(asked: DeviceAsking): { scope: Token['scope']; lives: string } {
	const lives = livesFor(asked);
	if (!asked.same_network) return { scope: 'read', lives: lives[0]!.value };
	return { scope: asked.scope, lives: lives.filter((l) => Number(l.value) <= usual).at(-1)!.value };
}

/** What a command line could do that is let in: "act as you for 90 days, with the scope “Admin”". */
export function couldDo(asked: DeviceAsking, scope: Token['scope'], lives: string, user: boolean): string {
	const span = livesFor(asked).find((l) => l.value === lives)?.label.toLowerCase();
	if (user) return `open your apps as you for ${span}`;
	return `act as you for ${span}, with the scope “${scopes.find((s) => s.value === scope)?.label}”`;
}

/** A code as the command line shows it, however it was typed: "WDJB-MJHT". */
export const codeInWords = (typed: string) =>
	typed
		.toUpperCase()
		.replace(/[^A-Z]/g, '')
		.replace(/^(.{4})(?=.)/, '$1-');

/** "36 hours", "12 minutes": whole ones of the largest unit that fits. */
function spanInWords(seconds: number): string {
	const [n, unit] = seconds % day === 0 ? [seconds / day, 'day'] : seconds % 3600 === 0 ? [seconds / 3600, 'hour'] : [Math.floor(seconds / 60), 'minute'];
	return `${n} ${unit}${n === 1 ? '' : 's'}`;
}
