import ArrowUpFromLine from '@lucide/svelte/icons/arrow-up-from-line';
import Ban from '@lucide/svelte/icons/ban';
import Bell from '@lucide/svelte/icons/bell';
import BellOff from '@lucide/svelte/icons/bell-off';
import Box from '@lucide/svelte/icons/box';
import CircleCheck from '@lucide/svelte/icons/circle-check';
import CirclePause from '@lucide/svelte/icons/circle-pause';
import CirclePlay from '@lucide/svelte/icons/circle-play';
import CircleX from '@lucide/svelte/icons/circle-x';
import Construction from '@lucide/svelte/icons/construction';
import Container from '@lucide/svelte/icons/container';
import Hand from '@lucide/svelte/icons/hand';
import KeyRound from '@lucide/svelte/icons/key-round';
import FileCog from '@lucide/svelte/icons/file-cog';
import HardDrive from '@lucide/svelte/icons/hard-drive';
import Layers from '@lucide/svelte/icons/layers';
import LogIn from '@lucide/svelte/icons/log-in';
import Package from '@lucide/svelte/icons/package';
import Radio from '@lucide/svelte/icons/radio';
import Rocket from '@lucide/svelte/icons/rocket';
import Clock from '@lucide/svelte/icons/clock';
import TriangleAlert from '@lucide/svelte/icons/triangle-alert';
import Signpost from '@lucide/svelte/icons/signpost';
import ShieldCheck from '@lucide/svelte/icons/shield-check';
import SquareTerminal from '@lucide/svelte/icons/square-terminal';
import UserRound from '@lucide/svelte/icons/user-round';
import UsersRound from '@lucide/svelte/icons/users-round';
import type { Component } from 'svelte';
import type { Fact } from './api/types';
import { kindWord, stepTitle } from './deployments';
import { problemWords } from './providers';
import { tagOf } from './stages';
import { methodWords } from './words';

export interface Said {
	/** Who: a username, or what acted. */
	who: string;
	/** The rest of the sentence. */
	what: string;
	/** A second line, such as why it failed. */
	detail?: string;
	href?: string;
	icon: Component<{ class?: string }>;
	tone: 'plain' | 'ok' | 'bad';
}

const text = (data: unknown, key: string): string => {
	const value = (data as Record<string, unknown> | undefined)?.[key];
	return value === undefined || value === null ? '' : String(value);
};

const actors: Record<string, string> = { registry: 'The registry', berth: 'Berth', local: 'The command line', webhook: 'A webhook', poll: 'Polling' };

/** How many people a change left without a way in; '' for none. */
const leftOut = (data: unknown): string => {
	const people = Number(text(data, 'left_out') || 0);
	return people ? `${people === 1 ? 'One person has' : `${people} people have`} no way in left` : '';
};

const lasted = (seconds: number): string => (seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

/** Facts on the way to another: what matters is told without them. */
export function routine(fact: Fact): boolean {
	const state = text(fact.data, 'state');
	// What Berth seals for itself is told by what it belongs to.
	if (fact.kind.startsWith('secret.') && text(fact.data, 'context').startsWith('berth/')) return true;
	return (fact.kind === 'instance.state' && state !== 'down') || (fact.kind === 'deployment.state' && (state === 'running' || state === 'replaced'));
}

/** One fact in words. within leaves out the project's name, where a whole list is about it. */
export function say(fact: Fact, within = ''): Said {
	const d = fact.data;
	const project = fact.project ?? '';
	const place = fact.stage ? (within === project ? fact.stage : `${project}/${fact.stage}`) : project;
	const who = actors[fact.actor ?? ''] ?? fact.actor ?? 'Berth';
	const said = (what: string, icon: Said['icon'], more: Partial<Said> = {}): Said => ({ who: who || 'Berth', what, icon, tone: 'plain', ...more });
	const projectPage = `/projects/${project}`;
	const stagePage = `${projectPage}/stages/${fact.stage}`;
	const routePage = `/routes/${text(d, 'route')}`;
	const person = text(d, 'username') || text(d, 'name') || 'somebody';
	const slot = [text(d, 'context'), text(d, 'name')].filter(Boolean).join('/');
	const image = [text(d, 'repository'), text(d, 'tag')].filter(Boolean).join(':') || text(d, 'digest');

	switch (fact.kind) {
		case 'project.created':
			return said(`created project ${project}`, Box, { href: projectPage });
		case 'project.updated':
			return said(`changed project ${project}`, Box, { href: projectPage });
		case 'project.removed':
			return said(`removed project ${project}`, Box, { tone: 'bad' });
		case 'manifest.applied': {
			const seed = text(d, 'seed');
			return said(seed ? `Berth was set up from ${seed}` : 'applied a configuration', FileCog, { who: seed ? '' : who || 'Berth', detail: [['created', 'created'], ['updated', 'changed'], ['removed', 'removed']].map(([key, word]) => [Number(text(d, key ?? '') || 0), word]).filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(', ') });
		}
		case 'manifest.exported':
			return said('exported the configuration with sealed secrets', FileCog, { tone: 'bad', detail: text(d, 'secrets') && `${text(d, 'secrets')} secrets` });
		case 'stage.created':
			return said(`created stage ${place}`, Layers, { href: stagePage });
		case 'stage.updated':
			return said(`changed the settings of ${place}`, Layers, { href: stagePage });
		case 'access.changed':
			return text(d, 'route') ? said(`changed who may enter the route ${text(d, 'route')}`, ShieldCheck, { href: routePage }) : said(`changed who may enter ${place}`, ShieldCheck, { href: stagePage });
		case 'access.refused': {
			const count = Number((d as { count?: number }).count ?? 1);
			const where = text(d, 'route') ? `the route ${text(d, 'route')}` : place;
			const times = count > 1 ? ` ${count} times` : '';
			return said(`was not let in to ${where}${text(d, 'via') === 'token' ? ' by an API token' : ''}${times}`, ShieldCheck, { href: text(d, 'route') ? routePage : stagePage, detail: [text(d, 'why'), text(d, 'address')].filter(Boolean).join(' · '), tone: 'bad' });
		}
		case 'route.created':
			return said(`added the route ${text(d, 'route')}`, Signpost, { href: routePage, detail: text(d, 'hostname') });
		case 'route.updated':
			return said(`changed the route ${text(d, 'route')}`, Signpost, { href: routePage, detail: text(d, 'hostname') });
		case 'route.removed':
			return said(`removed the route ${text(d, 'route')}`, Signpost, { tone: 'bad', detail: text(d, 'hostname') });
		case 'stage.paused':
			return said(`paused ${place}`, CirclePause, { href: stagePage, detail: text(d, 'reason') });
		case 'stage.resumed':
			return said(`resumed ${place}`, CirclePlay, { href: stagePage });
		case 'stage.missed':
			return said(`${text(d, 'reference')} was not deployed to ${place}, which is paused`, CirclePause, { who: '', href: stagePage });
		case 'maintenance.begun':
			return said(`put ${place} into maintenance`, Construction, { href: stagePage, detail: text(d, 'message') });
		case 'maintenance.ended':
			return said(`ended the maintenance of ${place}`, Construction, { href: stagePage });
		case 'stage.removed':
			return said(`removed stage ${place}`, Layers, { tone: 'bad' });
		case 'volume.backed_up':
			return said(`backed up volume ${text(d, 'name')}`, HardDrive);
		case 'volume.restored':
			return said(`restored volume ${text(d, 'name')} from a backup`, HardDrive);
		case 'volume.restore_begun':
			return said(`began to restore volume ${text(d, 'name')}`, HardDrive);
		case 'volume.restore_failed':
			return said(`The restore of volume ${text(d, 'name')} failed; nothing was changed`, HardDrive, { who: '', tone: 'bad', detail: text(d, 'reason') });
		case 'volume.removed':
			return said(`removed volume ${text(d, 'name')}`, HardDrive, { tone: 'bad' });
		case 'deployment.state':
			return sayState(fact, place, who || 'Berth');
		case 'job.started':
			return said(text(d, 'trigger') === 'schedule' ? `Job ${text(d, 'job')} of ${place} began` : `ran job ${text(d, 'job')} of ${place}`, Clock, { who: text(d, 'trigger') === 'schedule' ? '' : who, href: stagePage });
		case 'job.succeeded':
			return said(`Job ${text(d, 'job')} of ${place} succeeded`, Clock, { who: '', href: stagePage });
		case 'job.failed':
			return said(`Job ${text(d, 'job')} of ${place} failed`, Clock, { who: '', detail: text(d, 'error'), href: stagePage, tone: 'bad' });
		case 'job.canceled':
			return said(`Job ${text(d, 'job')} of ${place} was canceled`, Clock, { who: '', href: stagePage });
		case 'job.missed':
			return said(`Job ${text(d, 'job')} of ${place} was missed`, Clock, { who: '', detail: text(d, 'error'), href: stagePage, tone: 'bad' });
		case 'deployment.warning':
			return said(`The command after the switch of ${place} failed`, TriangleAlert, { who: '', detail: text(d, 'error'), href: fact.deployment ? `/deployments/${fact.deployment}` : stagePage, tone: 'bad' });
		case 'instance.state':
			return said(`Instance ${Number(text(d, 'ordinal') || 0) + 1} of ${place} is ${text(d, 'state')}`, Container, {
				who: '',
				detail: text(d, 'detail'),
				href: stagePage,
				tone: text(d, 'state') === 'down' ? 'bad' : 'plain'
			});
		case 'exec.started':
			return said(`ran “${text(d, 'command')}” in instance ${Number(text(d, 'ordinal') || 0) + 1} of ${place}`, SquareTerminal, { href: stagePage });
		case 'exec.ended':
			return said(`ended “${text(d, 'command')}” in instance ${Number(text(d, 'ordinal') || 0) + 1} of ${place}`, SquareTerminal, { href: stagePage, detail: [text(d, 'code') && `exit code ${text(d, 'code')}`, `after ${lasted(Number(text(d, 'seconds') || 0))}`, text(d, 'why')].filter(Boolean).join(', ') });
		case 'image.pushed':
			return said(`pushed ${image}`, Package, { href: `/images/${text(d, 'repository')}` });
		case 'image.found':
			return said(`found ${image}`, Package, { href: '/sources' });
		case 'webhook.created':
			return said(`added webhook ${text(d, 'name')}`, Radio, { href: `/sources/${text(d, 'id')}` });
		case 'webhook.removed':
			return said(`removed webhook ${text(d, 'name')}`, Radio, { tone: 'bad' });
		case 'image.removed':
			return said(`removed image ${image}`, Package, { tone: 'bad' });
		case 'provider.created':
			return said(`added sign-in provider ${text(d, 'slug')}`, LogIn, { href: '/system/sign-in', detail: text(d, 'issuer') });
		case 'provider.updated':
			return said(`changed sign-in provider ${text(d, 'slug')}`, LogIn, { href: '/system/sign-in', detail: leftOut(d) || (text(d, 'enabled') === 'false' ? 'It is switched off' : text(d, 'issuer')) });
		case 'provider.removed':
			return said(`removed sign-in provider ${text(d, 'slug')}`, LogIn, { tone: 'bad', detail: leftOut(d) });
		case 'provider.pinned':
			return said(`Sign-in provider ${text(d, 'slug')} calls itself ${text(d, 'issuer')}`, LogIn, { who: '', href: '/system/sign-in' });
		case 'identity.linked':
			return said(`linked ${person} to ${text(d, 'provider')}`, LogIn);
		case 'identity.unlinked':
			return said(`unlinked ${person} from ${text(d, 'provider')}`, LogIn);
		case 'signin.mode_changed': {
			const to = text(d, 'straight_to');
			return said(`takes passwords of ${text(d, 'passwords')}, and ${to ? `leads straight to ${to}` : 'shows the sign-in page'}`, LogIn, { href: '/system/sign-in', detail: leftOut(d) });
		}
		case 'signin.refused':
			return said(`${text(d, 'username') || 'Somebody'} was not let in from ${text(d, 'provider')}`, LogIn, { who: '', tone: 'bad', detail: problemWords(text(d, 'reason')) });
		case 'signin.logged_out':
			return said(`${text(d, 'provider')} ended ${text(d, 'ended') === '1' ? 'a session' : `${text(d, 'ended')} sessions`}`, LogIn, { who: '' });
		case 'person.created':
			return said(person === fact.actor ? 'made the first account' : `added ${person}`, UserRound);
		case 'person.updated':
			// By Berth itself where a list, or a provider, says so.
			if (text(d, 'role') && fact.actor === 'berth') return said(`${person} ${text(d, 'role') === 'administrator' ? 'administers now' : 'administers no more'}`, UserRound, { who: '' });
			return said(`changed ${person}`, UserRound);
		case 'administrators.changed':
			return said('changed who administers', UserRound, { href: '/system/sign-in', detail: addedAndRemoved(d) });
		case 'person.disabled':
			return said(`disabled ${person}`, UserRound, { tone: 'bad' });
		case 'person.enabled':
			return said(`enabled ${person}`, UserRound);
		case 'person.removed':
			return said(`removed ${person}`, UserRound, { tone: 'bad' });
		case 'person.password_changed':
			return said(text(d, 'username') && text(d, 'username') !== fact.actor ? `set a new password for ${person}` : 'changed their password', KeyRound);
		case 'person.password_added':
			return said('gave themselves a password', KeyRound);
		case 'person.password_removed':
			return said('removed their password', KeyRound);
		case 'group.created':
			return said(`made the group ${text(d, 'group')}`, UsersRound, { href: '/groups', detail: cameAndLeft(d) });
		case 'group.updated':
			return said(`changed the group ${text(d, 'group')}`, UsersRound, { href: '/groups', detail: cameAndLeft(d) });
		case 'group.removed':
			return said(`removed the group ${text(d, 'group')}`, UsersRound, { tone: 'bad' });
		case 'signin.succeeded':
			return said('signed in', LogIn, { detail: text(d, 'address') });
		case 'signin.failed':
			return said(`failed to sign in${text(d, 'username') ? ` as ${text(d, 'username')}` : ''}`, LogIn, { who: 'Somebody', detail: text(d, 'address'), tone: 'bad' });
		case 'session.ended':
			if (text(d, 'why') === 'expired') return said(`A session of ${person} has expired`, LogIn, { who: '' });
			return said(text(d, 'username') && text(d, 'username') !== fact.actor ? `ended a session of ${person}` : 'signed out', LogIn);
		case 'session.strengthened':
			return said('proved again who they are', LogIn, { detail: methodWords((d as { methods?: string[] }).methods) });
		case 'factor.required':
			return said(`requires a second factor of ${text(d, 'to')}`, KeyRound, { href: '/system/sign-in', detail: `Before: ${text(d, 'from')}` });
		case 'factor.added':
			return said({ passkey: `added passkey ${text(d, 'name')}`, totp: 'added an app that makes codes', recovery: 'made recovery codes' }[text(d, 'factor')] ?? 'added a second factor', KeyRound);
		case 'factor.removed':
			return said(text(d, 'factor') === 'passkey' ? `removed passkey ${text(d, 'name')}` : 'removed an app that makes codes', KeyRound, { tone: 'bad' });
		case 'factor.used':
			return said('used a recovery code', KeyRound, { detail: `${text(d, 'left')} left` });
		case 'factor.suspected':
			return said(`Passkey ${text(d, 'name')} of ${person} may have been copied: its counter went back`, KeyRound, { who: '', tone: 'bad' });
		case 'factor.reset':
			return said(`removed all second factors of ${person}`, KeyRound, { tone: 'bad' });
		case 'token.created':
			return said(`made API token ${text(d, 'name')}`, KeyRound);
		case 'token.approved':
			return said(`let the command line on ${text(d, 'machine')} have an API token`, KeyRound, { detail: text(d, 'address') });
		case 'token.denied':
			return said(`denied the command line on ${text(d, 'machine')} an API token`, KeyRound, { tone: 'bad', detail: text(d, 'address') });
		case 'token.removed':
			return said(`removed API token ${text(d, 'name')}${text(d, 'username') && text(d, 'username') !== fact.actor ? ` of ${person}` : ''}`, KeyRound);
		case 'secret.set':
			return said(`set secret ${slot}`, KeyRound, { href: '/secrets' });
		case 'secret.removed':
			return said(`removed secret ${slot}`, KeyRound, { tone: 'bad' });
		case 'secret.shown':
			return said(`was shown secret ${slot}`, KeyRound, { href: '/secrets' });
		case 'grant.given':
			return said(`${text(d, 'app')} got a token of ${text(d, 'provider')} for ${fact.actor}`, KeyRound, { who: '' });
		case 'grant.ended':
			return said(`Berth’s access at ${text(d, 'provider')} for ${text(d, 'external_id')} ended`, KeyRound, { who: '', tone: 'bad', detail: text(d, 'why') });
		case 'grant.forgotten':
			return said(`had Berth forget the tokens of ${text(d, 'provider')}`, KeyRound);
		case 'channel.created':
			return said(`added notification channel ${text(d, 'name')}`, Bell, { href: '/notifications' });
		case 'channel.updated':
			return said(`changed notification channel ${text(d, 'name')}`, Bell, { href: '/notifications' });
		case 'channel.removed':
			return said(`removed notification channel ${text(d, 'name')}`, BellOff, { tone: 'bad' });
		case 'disk.low':
			return said('The disk is nearly full', HardDrive, { who: '', detail: text(d, 'path'), href: '/system', tone: 'bad' });
		case 'engine_image.removed':
			return said(`removed the image ${text(d, 'repository')} from the engine: nothing needs it`, Box, { href: '/system' });
		case 'disk.recovered':
			return said('The disk has room again', HardDrive, { who: '', href: '/system' });
		case 'source.failing':
			return said(`${text(d, 'repository')} can’t be watched`, Container, { who: '', detail: text(d, 'error'), tone: 'bad' });
		case 'source.recovered':
			return said(`${text(d, 'repository')} is watched again`, Container, { who: '' });
		case 'notification.failed':
			return said(`could not tell ${text(d, 'channel')}: ${text(d, 'title')}`, BellOff, { detail: text(d, 'error'), href: '/notifications', tone: 'bad' });
		case 'registry_account.set':
			return said(`set the account for ${text(d, 'host')}`, Container);
		case 'registry_account.removed':
			return said(`removed the account for ${text(d, 'host')}`, Container, { tone: 'bad' });
	}
	return said(fact.kind.replace(/[._]/g, ' '), Box);
}

function cameAndLeft(data: unknown): string {
	const { came, left } = (data ?? {}) as { came?: string[]; left?: string[] };
	return [came?.length && `${came.join(', ')} came`, left?.length && `${left.join(', ')} left`].filter(Boolean).join('; ');
}

function addedAndRemoved(data: unknown): string {
	const { added, removed } = (data ?? {}) as { added?: string[]; removed?: string[] };
	return [added?.length && `added ${added.join(', ')}`, removed?.length && `removed ${removed.join(', ')}`].filter(Boolean).join('; ');
}

/** Only asking and canceling are somebody's doing; the rest happens to the image. */
function sayState(fact: Fact, place: string, who: string): Said {
	const d = fact.data;
	const tag = tagOf(text(d, 'reference'));
	const kind = text(d, 'kind');
	const said = (what: string, icon: Said['icon'], more: Partial<Said> = {}): Said => ({ who: '', what, icon, tone: 'plain', href: `/deployments/${fact.deployment}`, ...more });
	switch (text(d, 'state')) {
		case 'held':
			return said(`${kind === 'promote' ? `asked to promote ${tag} to` : `has ${tag} for`} ${place}: it waits for approval`, Hand, { who });
		case 'waiting':
			if (text(d, 'approved_by')) return said(`approved ${tag} for ${place}`, CircleCheck, { who });
			if (kind === 'promote') return said(`${fact.actor === 'berth' ? 'promoted' : 'asked to promote'} ${tag} to ${place}`, ArrowUpFromLine, { who });
			return said(kind === 'rollback' ? `asked to roll ${place} back to ${tag}` : `asked to ${(kindWord[kind as 'deploy'] ?? 'deploy').toLowerCase()} ${tag} to ${place}`, Rocket, { who });
		case 'running':
			return said(`${tag} is on its way to ${place}`, Rocket);
		case 'live':
			return said(`${tag} went live in ${place}`, CircleCheck, { tone: 'ok' });
		case 'failed':
			return said(`${tag} did not go live in ${place}`, CircleX, { tone: 'bad', detail: [stepTitle[text(d, 'failed_step')], text(d, 'error')].filter(Boolean).join(': ') });
		case 'reverted':
			return said(`${tag} was taken back in ${place}`, CircleX, { tone: 'bad', detail: text(d, 'error') });
		case 'canceled':
			if (text(d, 'canceled_by')) return said(`canceled the deployment of ${tag} to ${place}`, Ban, { who: text(d, 'canceled_by') });
			return said(`The deployment of ${tag} to ${place} was canceled`, Ban);
		case 'superseded':
			return said(`${tag} was passed over for ${place}: a newer request came`, Ban);
		case 'replaced':
			return said(`${tag} was replaced in ${place}`, Rocket);
	}
	return said(`Deployment of ${tag} to ${place}: ${text(d, 'state')}`, Rocket);
}
