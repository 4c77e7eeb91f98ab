/** Routes that no stage makes, as their list, their page and their form show them. */
import type { FixedRoute } from './api/types';
import { exactBytes } from './size';
import { shortDuration } from './time';

export type RouteSpec = FixedRoute['spec'];

/** Where people reach it: its hostname, and its path where it has one. */
export const routeAddress = (s: RouteSpec): string => s.hostname + (s.path_prefix === '/' ? '' : (s.path_prefix ?? ''));

/** Where requests go. */
export const targetWords = (s: RouteSpec): string => s.target || 'another proxy';

export const protocols = [
	{ value: 'http1', label: 'HTTP/1.1' },
	{ value: 'http2', label: 'HTTP/2, and gRPC' }
] as const;

export const hostsTold = [
	{ value: 'public', label: 'The one the visitor asked for' },
	{ value: 'upstream', label: 'The target’s own' }
] as const;

const labelOf = (list: readonly { value: string; label: string }[], value: string | undefined) => list.find((one) => one.value === value)?.label ?? list[0]!.label;

/** How requests are passed on, by what each is called. */
export const passedOn = (s: RouteSpec): [name: string, value: string][] => [
	['Speaks', labelOf(protocols, s.protocol)],
	['Hostname it is told', labelOf(hostsTold, s.host)],
	['Time to answer', shortDuration(s.request_timeout ?? '60s')],
	['Largest request body', exactBytes(s.max_body_bytes) || 'The gateway’s own limit']
];
