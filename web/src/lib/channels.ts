/** Notification channels: their words, and their addresses put together from what a form asks. */
import AtSign from '@lucide/svelte/icons/at-sign';
import BellRing from '@lucide/svelte/icons/bell-ring';
import Gamepad2 from '@lucide/svelte/icons/gamepad-2';
import Hash from '@lucide/svelte/icons/hash';
import Brackets from '@lucide/svelte/icons/brackets';
import UsersRound from '@lucide/svelte/icons/users-round';
import Webhook from '@lucide/svelte/icons/webhook';
import type { Channel } from './api/types';

export type ChannelService = Channel['service'];
export type NoticeKind = Channel['kinds'][number];

export const services: Record<ChannelService, { label: string; icon: typeof AtSign }> = {
	email: { label: 'E-mail', icon: AtSign },
	slack: { label: 'Slack', icon: Hash },
	discord: { label: 'Discord', icon: Gamepad2 },
	matrix: { label: 'Matrix', icon: Brackets },
	ntfy: { label: 'ntfy', icon: BellRing },
	teams: { label: 'Microsoft Teams', icon: UsersRound },
	webhook: { label: 'Webhook', icon: Webhook }
};

interface KindWords {
	kind: NoticeKind;
	label: string;
	/** In a list of what a channel is told of. */
	short: string;
	help: string;
	/** About all of Berth: no project's channel is told of it. */
	whole?: boolean;
}

export const kinds: KindWords[] = [
	{ kind: 'deployment.live', label: 'Deployment live', short: 'live deployments', help: 'A release serves.' },
	{ kind: 'deployment.failed', label: 'Deployment failed', short: 'failed deployments', help: 'With the step and the reason.' },
	{ kind: 'deployment.held', label: 'Waits for approval', short: 'approvals', help: 'Somebody has to say yes.' },
	{ kind: 'deployment.rolled_back', label: 'Rolled back', short: 'roll backs', help: 'An earlier release serves again.' },
	{ kind: 'instance.down', label: 'Instance down', short: 'instances down', help: 'At most every ten minutes for a stage.' },
	{ kind: 'job.failed', label: 'Job failed', short: 'failed jobs', help: 'A scheduled command did not end well.' },
	{ kind: 'source.failing', label: 'Source failing', short: 'failing sources', help: 'A registry can’t be asked for new images.', whole: true },
	{ kind: 'signin.failures', label: 'Many failed sign-ins', short: 'failed sign-ins', help: 'Five within ten minutes; at most hourly.', whole: true },
	{ kind: 'disk.low', label: 'Disk nearly full', short: 'a full disk', help: 'While there is still time to act.', whole: true }
];

/** What most people want to hear of. */
export const usualKinds: NoticeKind[] = ['deployment.failed', 'deployment.held', 'deployment.rolled_back', 'instance.down'];

export function kindsInWords(list: readonly NoticeKind[]): string {
	if (kinds.every((k) => list.includes(k.kind))) return 'everything';
	return kinds.filter((k) => list.includes(k.kind)).map((k) => k.short).join(', ');
}

/** What a form asks of an address; which of these, its service says. */
export interface AddressFields {
	url: string;
	token: string;
	room: string;
	server: string;
	security: 'starttls' | 'tls' | 'none';
	username: string;
	from: string;
	to: string;
}

export const noAddress = (): AddressFields => ({ url: '', token: '', room: '', server: '', security: 'starttls', username: '', from: '', to: '' });

/** The address as the API takes it: one URL with everything in it. */
export function addressOf(service: ChannelService, a: AddressFields): string {
	const url = a.url.trim();
	const token = encodeURIComponent(a.token.trim());
	switch (service) {
		case 'ntfy':
			return token ? url.replace('://', `://:${token}@`) : url;
		case 'matrix':
			return `${url.replace(/\/+$/, '').replace('://', `://:${token}@`)}/${encodeURIComponent(a.room.trim())}`;
		case 'email': {
			const user = a.username.trim();
			const who = user ? `${encodeURIComponent(user)}${a.token ? `:${encodeURIComponent(a.token)}` : ''}@` : '';
			const people = a.to.split(/[\s,;]+/).filter(Boolean);
			const query = [`from=${encodeURIComponent(a.from.trim())}`, ...people.map((to) => `to=${encodeURIComponent(to)}`), ...(a.security === 'none' ? ['tls=none'] : [])];
			return `${a.security === 'tls' ? 'smtps' : 'smtp'}://${who}${a.server.trim()}?${query.join('&')}`;
		}
	}
	return url;
}
