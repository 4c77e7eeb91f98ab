import AppWindow from '@lucide/svelte/icons/app-window';
import Activity from '@lucide/svelte/icons/activity';
import Bell from '@lucide/svelte/icons/bell';
import Boxes from '@lucide/svelte/icons/boxes';
import Container from '@lucide/svelte/icons/container';
import HardDrive from '@lucide/svelte/icons/hard-drive';
import KeyRound from '@lucide/svelte/icons/key-round';
import LogIn from '@lucide/svelte/icons/log-in';
import Package from '@lucide/svelte/icons/package';
import Radio from '@lucide/svelte/icons/radio';
import ScrollText from '@lucide/svelte/icons/scroll-text';
import Signpost from '@lucide/svelte/icons/signpost';
import ShieldQuestionMark from '@lucide/svelte/icons/shield-question-mark';
import Server from '@lucide/svelte/icons/server';
import Users from '@lucide/svelte/icons/users';
import UsersRound from '@lucide/svelte/icons/users-round';

const under = (prefix: string) => (path: string) => path === prefix || path.startsWith(`${prefix}/`);

/** Where members and administrators can go. */
export const places = [
	{ href: '/', label: 'Projects', icon: Boxes, here: (path: string) => path === '/' || /^\/(projects|deployments|instances)\b/.test(path) },
	{ href: '/apps', label: 'Apps', icon: AppWindow, here: under('/apps') },
	{ href: '/images', label: 'Images', icon: Package, here: under('/images') },
	{ href: '/sources', label: 'Sources', icon: Radio, here: under('/sources') },
	{ href: '/secrets', label: 'Secrets', icon: KeyRound, here: under('/secrets') },
	{ href: '/volumes', label: 'Volumes', icon: HardDrive, here: under('/volumes') },
	{ href: '/routes', label: 'Routes', icon: Signpost, here: under('/routes') },
	{ href: '/explain', label: 'Access check', icon: ShieldQuestionMark, here: under('/explain') },
	{ href: '/activity', label: 'Activity', icon: Activity, here: under('/activity') },
	{ href: '/notifications', label: 'Notifications', icon: Bell, here: under('/notifications') },
	{ href: '/system', label: 'System', icon: Server, here: (path: string) => under('/system')(path) && !under('/system/sign-in')(path) }
];

/** Where administrators can go. */
export const administration: typeof places = [
	{ href: '/people', label: 'People', icon: Users, here: under('/people') },
	{ href: '/groups', label: 'Groups', icon: UsersRound, here: under('/groups') },
	{ href: '/system/sign-in', label: 'Sign-in', icon: LogIn, here: under('/system/sign-in') },
	{ href: '/registries', label: 'Registry accounts', icon: Container, here: under('/registries') },
	{ href: '/audit', label: 'Audit', icon: ScrollText, here: under('/audit') }
];
