import type { AuditCategory } from './api/types';

/** What audit events are about, in the order of the choice. */
export const auditCategories: Record<AuditCategory, string> = {
	'sign-in': 'Sign-ins',
	sessions: 'Sessions',
	factors: 'Second factors',
	people: 'People',
	groups: 'Groups',
	tokens: 'API tokens',
	secrets: 'Secrets',
	access: 'Access',
	providers: 'Sign-in providers',
	exec: 'Commands in instances',
	configuration: 'Configuration',
	deployments: 'Deployments',
	audit: 'The audit itself'
};
