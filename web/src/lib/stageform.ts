/**
 * A stage's settings as a form holds them: text where a person types, rows
 * where a person adds. toSpec and fromSpec are each other's inverse for
 * everything that the API takes.
 */
import { fromPolicy, toPolicy, type AccessForm } from './access';
import type { FieldError } from './api/client';
import type { StageSpec } from './api/types';
import { parseDotenv } from './dotenv';
import { exactBytes, parseBytes } from './size';
import { shortDuration } from './time';

export interface VariableRow {
	id: number;
	name: string;
	kind: 'value' | 'secret';
	value: string;
	context: string;
	slot: string;
}

export interface VolumeRow {
	id: number;
	name: string;
	path: string;
	readOnly: boolean;
}

export interface MountRow {
	id: number;
	kind: 'bind' | 'tmpfs';
	source: string;
	path: string;
	readOnly: boolean;
	size: string;
}

export interface StageForm {
	hostname: string;
	pathPrefix: string;
	stripPrefix: boolean;
	/** Who may enter. */
	access: AccessForm;
	/** Which images come here: by a rule for tags, or from another stage. */
	tagKind: StageSpec['tags']['kind'] | 'promote';
	tagPattern: string;
	approve: boolean;
	promoteFrom: string;
	promoteAfter: string;
	autoPromote: boolean;
	promoteApproval: boolean;
	port: string;
	protocol: NonNullable<StageSpec['protocol']>;
	/** One argument a line. */
	command: string;
	variables: VariableRow[];
	/** The values as the text of a .env file, while they are edited so: then the rows count for secrets alone. */
	envText: string | null;
	volumes: VolumeRow[];
	mounts: MountRow[];
	cpus: string;
	memory: string;
	replicas: string;
	probeKind: NonNullable<NonNullable<StageSpec['probe']>['kind']>;
	probePath: string;
	probeStatus: string;
	probeInterval: string;
	probeTimeout: string;
	probeSuccesses: string;
	startDeadline: string;
	drainTimeout: string;
	streamDrainTimeout: string;
	keepOld: string;
	keepReleases: string;
	keepFor: string;
	stopTimeout: string;
	requestTimeout: string;
	maxBody: string;
	guard: boolean;
	guardWindow: string;
	guardErrors: string;
	guardRequests: string;
	/** Empty: latency is not looked at. */
	guardLatency: string;
	guardRestarts: string;
	canary: boolean;
	canaryShare: string;
	canaryDuration: string;
	before: TaskForm;
	after: TaskForm;
	afterGoBack: boolean;
	jobs: JobRow[];
}

/** A command that runs in a container of its own. */
export interface TaskForm {
	/** One argument a line; empty: there is none. */
	command: string;
	entrypoint: string;
	timeout: string;
}

export interface JobRow extends TaskForm {
	id: number;
	name: string;
	schedule: string;
	timeZone: string;
	overlap: 'skip' | 'queue' | 'allow';
}

let lastRow = 0;
export const newVariable = (name = '', value = ''): VariableRow => ({ id: ++lastRow, name, kind: 'value', value, context: '', slot: '' });
export const newVolume = (): VolumeRow => ({ id: ++lastRow, name: '', path: '', readOnly: false });

export const newMount = (kind: MountRow['kind']): MountRow => ({ id: ++lastRow, kind, source: '', path: '', readOnly: kind === 'bind', size: '' });
/** A new job, in the time zone of whoever makes it. */
export const newJob = (): JobRow => ({
	id: ++lastRow,
	name: '',
	schedule: '',
	timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC',
	overlap: 'skip',
	command: '',
	entrypoint: '',
	timeout: '1h'
});

const taskForm = (t: StageSpec['before_switch'], timeout: string): TaskForm => ({
	command: (t?.command ?? []).join('\n'),
	entrypoint: (t?.entrypoint ?? []).join('\n'),
	timeout: shortDuration(t?.timeout) || timeout
});

const lines = (text: string) => text.split('\n').filter((line) => line !== '');

const number = (n: number | undefined) => (n ? String(n) : '');

export function fromSpec(s: StageSpec): StageForm {
	const variables = [
		...Object.entries(s.env ?? {}).map(([name, value]) => newVariable(name, value)),
		...Object.entries(s.secrets ?? {}).map(([name, ref]): VariableRow => ({ ...newVariable(name), kind: 'secret', context: ref.context, slot: ref.name }))
	].sort((a, b) => a.name.localeCompare(b.name));
	const p = s.probe ?? {};
	return {
		hostname: s.hostname,
		pathPrefix: s.path_prefix ?? '/',
		access: fromPolicy(s.access),
		stripPrefix: s.strip_prefix ?? false,
		tagKind: s.promote_from ? 'promote' : s.tags.kind,
		tagPattern: s.tags.pattern ?? '',
		approve: s.approve ?? false,
		promoteFrom: s.promote_from ?? '',
		promoteAfter: shortDuration(s.promote_after) || '0s',
		autoPromote: s.auto_promote ?? false,
		promoteApproval: s.promote_approval ?? false,
		port: number(s.port),
		protocol: s.protocol ?? 'http1',
		command: (s.command ?? []).join('\n'),
		variables,
		envText: null,
		mounts: (s.mounts ?? []).map((m) => ({ id: ++lastRow, kind: m.kind, source: m.source ?? '', path: m.path, readOnly: m.read_only ?? false, size: exactBytes(m.size) })),
		volumes: (s.volumes ?? []).map((v) => ({ id: ++lastRow, name: v.name, path: v.path, readOnly: v.read_only ?? false })),
		cpus: number(s.cpus),
		memory: exactBytes(s.memory),
		replicas: String(s.replicas || 1),
		probeKind: p.kind ?? 'http',
		probePath: p.path ?? '/',
		probeStatus: number(p.status),
		probeInterval: shortDuration(p.interval) || '2s',
		probeTimeout: shortDuration(p.timeout) || '2s',
		probeSuccesses: String(p.successes || 1),
		startDeadline: shortDuration(p.start_deadline) || '1m',
		drainTimeout: shortDuration(s.drain_timeout) || '30s',
		streamDrainTimeout: shortDuration(s.stream_drain_timeout) || '30s',
		keepOld: shortDuration(s.keep_old) || '0s',
		keepReleases: number(s.keep_releases),
		keepFor: shortDuration(s.keep_for),
		stopTimeout: shortDuration(s.stop_timeout) || '10s',
		requestTimeout: shortDuration(s.request_timeout) || '1m',
		maxBody: exactBytes(s.max_body_bytes),
		guard: shortDuration(s.guard?.window ?? '0s') !== '0s',
		guardWindow: s.guard?.window && s.guard.window !== '0s' ? shortDuration(s.guard.window) : '2m',
		guardErrors: String(s.guard?.error_rate || 5),
		guardRequests: String(s.guard?.min_requests || 20),
		guardLatency: number(s.guard?.latency_factor),
		guardRestarts: String(s.guard?.restarts ?? 0),
		before: taskForm(s.before_switch, '10m'),
		after: taskForm(s.after_switch, '10m'),
		afterGoBack: !!s.after_switch?.go_back,
		jobs: (s.jobs ?? []).map((j) => ({ ...newJob(), ...taskForm(j, '1h'), name: j.name, schedule: j.schedule ?? '', timeZone: j.time_zone ?? 'UTC', overlap: j.overlap ?? 'skip' })),
		canary: !!s.canary?.share,
		canaryShare: String(s.canary?.share || 10),
		canaryDuration: shortDuration(s.canary?.duration) || '5m'
	};
}

const durationForm = /^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/;

/** The settings, and what is wrong before a server is asked. */
export function toSpec(f: StageForm): { spec: StageSpec; errors: FieldError[] } {
	const errors: FieldError[] = [];
	const wrong = (location: string, message: string) => void errors.push({ location, message });

	const numeric = (text: string, location: string): number => {
		const n = Number(text.trim() || 0);
		if (Number.isFinite(n) && n >= 0) return n;
		wrong(location, 'This is a number.');
		return 0;
	};
	const whole = (text: string, location: string): number => {
		const n = numeric(text, location);
		if (Number.isInteger(n)) return n;
		wrong(location, 'This is a whole number.');
		return 0;
	};
	const sized = (text: string, location: string): number => {
		const n = parseBytes(text);
		if (!Number.isNaN(n)) return n;
		wrong(location, 'This is a size, such as 512 MiB.');
		return 0;
	};
	const duration = (text: string, location: string): string => {
		const t = text.replace(/\s+/g, '').toLowerCase();
		if (t === '') return '0s';
		if (/^\d+(\.\d+)?$/.test(t)) return `${t}s`;
		if (durationForm.test(t)) return t;
		wrong(location, 'This is a duration, such as 30s or 1m30s.');
		return '0s';
	};

	const env: NonNullable<StageSpec['env']> = {};
	const secrets: NonNullable<StageSpec['secrets']> = {};
	if (f.envText !== null) {
		const said = parseDotenv(f.envText);
		for (const e of said.errors) wrong('variables.text', `Line ${e.line}: ${e.message}`);
		for (const [name, value] of said.variables) {
			if (f.variables.some((row) => row.kind === 'secret' && row.name.trim() === name)) wrong('variables.text', `${name} is a secret already: remove it in the table first.`);
			else env[name] = value;
		}
	}
	f.variables.forEach((row, i) => {
		if (f.envText !== null && row.kind === 'value') return;
		const name = row.name.trim();
		const empty = row.kind === 'value' ? !row.value : !row.context && !row.slot;
		if (!name && empty) return;
		if (!name) wrong(`variables.${i}`, 'The variable needs a name.');
		else if (name in env || name in secrets) wrong(`variables.${i}`, `There is another variable named ${name}.`);
		else if (row.kind === 'value') env[name] = row.value;
		else secrets[name] = { context: row.context.trim(), name: row.slot.trim() };
	});

	const { policy, errors: ofPolicy } = toPolicy(f.access, 'spec.access');
	errors.push(...ofPolicy);
	const spec: StageSpec = {
		hostname: f.hostname.trim(),
		access: policy,
		path_prefix: f.pathPrefix.trim() || '/',
		tags: f.tagKind === 'none' || f.tagKind === 'promote' ? { kind: 'none' } : { kind: f.tagKind, pattern: f.tagPattern.trim() },
		port: whole(f.port, 'spec.port'),
		protocol: f.protocol,
		env,
		secrets,
		volumes: f.volumes.filter((v) => v.name.trim() || v.path.trim()).map((v) => ({ name: v.name.trim(), path: v.path.trim(), ...(v.readOnly && { read_only: true }) })),
		...(f.mounts.length && {
			mounts: f.mounts.map((m, i) => ({
				kind: m.kind,
				path: m.path.trim(),
				...(m.kind === 'bind' ? { source: m.source.trim(), ...(m.readOnly && { read_only: true }) } : m.size.trim() && { size: sized(m.size, `spec.mounts.${i}.size`) })
			}))
		}),
		cpus: numeric(f.cpus, 'spec.cpus'),
		memory: sized(f.memory, 'spec.memory'),
		replicas: whole(f.replicas, 'spec.replicas') || 1,
		probe: {
			kind: f.probeKind,
			interval: duration(f.probeInterval, 'spec.probe.interval'),
			timeout: duration(f.probeTimeout, 'spec.probe.timeout'),
			successes: whole(f.probeSuccesses, 'spec.probe.successes') || 1,
			start_deadline: duration(f.startDeadline, 'spec.probe.start_deadline'),
			...(f.probeKind === 'http' && { path: f.probePath.trim() || '/', status: whole(f.probeStatus, 'spec.probe.status') })
		},
		drain_timeout: duration(f.drainTimeout, 'spec.drain_timeout'),
		stream_drain_timeout: duration(f.streamDrainTimeout, 'spec.stream_drain_timeout'),
		keep_old: duration(f.keepOld, 'spec.keep_old'),
		stop_timeout: duration(f.stopTimeout, 'spec.stop_timeout'),
		request_timeout: duration(f.requestTimeout, 'spec.request_timeout'),
		max_body_bytes: sized(f.maxBody, 'spec.max_body_bytes')
	};
	if (f.tagKind === 'promote') {
		spec.promote_from = f.promoteFrom;
		if (!f.promoteFrom) wrong('spec.promote_from', 'Choose the stage to promote from.');
		const after = duration(f.promoteAfter, 'spec.promote_after');
		if (after !== '0s') spec.promote_after = after;
		if (f.autoPromote) spec.auto_promote = true;
		if (f.promoteApproval) spec.promote_approval = true;
	} else if (f.tagKind !== 'none' && f.approve) spec.approve = true;
	if (f.guard || f.canary) {
		spec.guard = {
			...(f.guard && { window: duration(f.guardWindow, 'spec.guard.window') }),
			error_rate: numeric(f.guardErrors, 'spec.guard.error_rate'),
			min_requests: whole(f.guardRequests, 'spec.guard.min_requests'),
			...(f.guardLatency.trim() && { latency_factor: numeric(f.guardLatency, 'spec.guard.latency_factor') }),
			...(f.guardRestarts.trim() && f.guardRestarts.trim() !== '0' && { restarts: whole(f.guardRestarts, 'spec.guard.restarts') })
		};
	}
	if (f.canary) spec.canary = { share: whole(f.canaryShare, 'spec.canary.share'), duration: duration(f.canaryDuration, 'spec.canary.duration') };
	const task = (t: TaskForm, location: string) => ({
		...(lines(t.command).length && { command: lines(t.command) }),
		...(lines(t.entrypoint).length && { entrypoint: lines(t.entrypoint) }),
		timeout: duration(t.timeout, `${location}.timeout`)
	});
	const given = (t: TaskForm) => !!t.command.trim() || !!t.entrypoint.trim();
	if (given(f.before)) spec.before_switch = task(f.before, 'spec.before_switch');
	if (given(f.after)) spec.after_switch = { ...task(f.after, 'spec.after_switch'), ...(f.afterGoBack && { go_back: true }) };
	if (f.jobs.length)
		spec.jobs = f.jobs.map((j, i) => ({
			...task(j, `spec.jobs.${i}`),
			name: j.name.trim(),
			...(j.schedule.trim() && { schedule: j.schedule.trim() }),
			time_zone: j.timeZone.trim() || 'UTC',
			overlap: j.overlap
		}));
	const releases = whole(f.keepReleases, 'spec.keep_releases');
	if (releases) spec.keep_releases = releases;
	const keep = duration(f.keepFor, 'spec.keep_for');
	if (keep !== '0s') spec.keep_for = keep;
	if (f.stripPrefix && spec.path_prefix !== '/') spec.strip_prefix = true;
	const command = f.command.split('\n').filter((line) => line !== '');
	if (command.length) spec.command = command;
	return { spec, errors };
}

/** A hostname to begin with: "shop.localhost" beside "localhost", "shop.example.com" beside "berth.example.com". */
export function suggestHostname(project: string, stage: string, baseUrl: string): string {
	let host = 'localhost';
	try {
		host = new URL(baseUrl).hostname;
	} catch {
		// Not known yet: loopback is the default of Berth too.
	}
	if (/^[\d.]+$|^\[/.test(host)) host = 'localhost';
	const labels = host.split('.');
	const domain = labels.length > 2 ? labels.slice(1).join('.') : host;
	return `${project}${stage && stage !== 'prod' ? `-${stage}` : ''}.${domain}`;
}
