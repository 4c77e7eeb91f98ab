/** Fields as their forms name them. */
const fields: Record<string, string> = {
	image: 'Image',
	description: 'Description',
	username: 'Username',
	insecure: 'Plain HTTP',
	password: 'Password',
	value: 'Value',
	poll_interval: 'Looked at every',
	digest: 'Image digest',
	reference: 'Image',
	hostname: 'Hostname',
	path_prefix: 'Path',
	strip_prefix: 'Strip path',
	'tags.kind': 'Tag rule',
	approve: 'Ask before a match deploys',
	promote_from: 'Promotes from',
	promote_after: 'Healthy for',
	auto_promote: 'Promote by itself',
	promote_approval: 'Another person approves',
	'tags.pattern': 'Tag pattern',
	port: 'Port',
	protocol: 'Protocol',
	command: 'Command',
	cpus: 'CPU limit',
	memory: 'Memory limit',
	replicas: 'Replicas',
	'probe.kind': 'Probe',
	'probe.path': 'Probe path',
	'probe.status': 'Probe status',
	'probe.interval': 'Probe interval',
	'probe.timeout': 'Probe timeout',
	'probe.successes': 'Successes in a row',
	'probe.start_deadline': 'Start deadline',
	drain_timeout: 'Drain time',
	stream_drain_timeout: 'Drain time of streams',
	keep_old: 'Keep old release',
	stop_timeout: 'Stop time',
	keep_releases: 'Releases kept',
	keep_for: 'Time images are kept',
	'guard.window': 'Guard',
	'guard.error_rate': 'Errors the guard bears',
	'guard.min_requests': 'Requests before the guard judges',
	'guard.latency_factor': 'Latency the guard bears',
	'guard.restarts': 'Restarts the guard bears',
	'canary.share': 'Canary share',
	'canary.duration': 'Canary time',
	'before_switch.command': 'Command before the switch',
	'before_switch.entrypoint': 'Entrypoint before the switch',
	'before_switch.timeout': 'Time limit before the switch',
	'after_switch.command': 'Command after the switch',
	'after_switch.entrypoint': 'Entrypoint after the switch',
	'after_switch.timeout': 'Time limit after the switch',
	'after_switch.go_back': 'Go back when the command after the switch fails',
	request_timeout: 'Request timeout',
	max_body_bytes: 'Largest request body'
};

/** The words for a field's path: "spec.env.LOG_LEVEL" is "Variable LOG_LEVEL". */
export function fieldWords(path: string): string {
	const field = path.replace(/^spec\./, '').replace(/\[(\w+)\]/g, '.$1');
	const known = fields[field];
	if (known) return known;
	const [group, ...rest] = field.split('.');
	if (group === 'access' && rest[0] === 'rules') return `Who may enter, rule ${Number(rest[1]) + 1}: ${rest.slice(2).join(' ').replace(/_/g, ' ')}`;
	if (group === 'env') return `Variable ${rest.join('.')}`;
	if (group === 'secrets') return `Secret ${rest[0] ?? ''}`;
	if (group === 'volumes') return `Volume ${rest.join(' ')}`.trim();
	if (group === 'mounts') return `Mount ${rest.join(' ')}`.trim().replace('_', ' ');
	if (field.includes(':')) return path; // an entry of the list of administrators
	return field.replace(/[._]/g, ' ');
}

/** What a change of the configuration is of: "second factor rule". */
export const thingWords = (of: { kind: string; name: string }) => `${of.kind.replace(/_/g, ' ')} ${of.name}`;

const methods: Record<string, string> = { password: 'password', totp: 'a code of an app', recovery: 'a recovery code', passkey: 'a passkey', provider: 'a provider', mfa: 'more than one factor there' };

/** How a session was proved: "password and a code of an app". */
export function methodWords(list: readonly string[] | null | undefined): string {
	const words = (list ?? []).map((m) => methods[m] ?? m);
	return words.length > 1 ? `${words.slice(0, -1).join(', ')} and ${words.at(-1)}` : (words[0] ?? 'nothing');
}

/** What somebody has beside a password: "2 passkeys, an app". */
export function factorWords(has?: { passkeys: readonly unknown[]; totp?: unknown }): string {
	if (!has) return '';
	const keys = has.passkeys.length;
	return [keys && (keys === 1 ? 'One passkey' : `${keys} passkeys`), has.totp && (keys ? 'an app that makes codes' : 'An app that makes codes')].filter(Boolean).join(', ') + '.';
}
