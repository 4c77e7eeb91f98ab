import type { StageSpec, StageStatus } from './api/types';
import { shortDuration } from './time';

const order = ['failed', 'down', 'degraded', 'deploying', 'healthy'] as const;

/** What to show for a whole project: the state that most needs a look. */
export function worst(stages: Pick<StageStatus, 'state'>[]): string {
	return order.find((s) => stages.some((x) => x.state === s)) ?? 'empty';
}

/** The tag or digest of a reference, which tells releases of one project apart: "1.4" of "shop:1.4". */
export function tagOf(reference: string | undefined): string {
	if (!reference) return '';
	const digest = reference.slice(reference.indexOf('@') + 1);
	if (digest.startsWith('sha256:')) return shortDigest(digest);
	const name = reference.slice(reference.lastIndexOf('/') + 1);
	const colon = name.indexOf(':');
	return colon >= 0 ? name.slice(colon + 1) : reference.includes('/') ? 'latest' : reference;
}

/** "sha256:3f9a1c…" as "3f9a1c2b7d40". */
export function shortDigest(digest: string | undefined): string {
	if (!digest) return '';
	return digest.slice(digest.indexOf(':') + 1, digest.indexOf(':') + 13);
}

/** An address without its scheme. */
export function bareAddress(url: string): string {
	return url.replace(/^https?:\/\//, '').replace(/\/$/, '');
}

/** Which images come to a stage, in a few words: "versions ^1", "from staging after 10m". */
export function ruleWords(spec: Pick<StageSpec, 'tags' | 'approve' | 'promote_from' | 'promote_after' | 'auto_promote' | 'promote_approval'>): string {
	const { kind, pattern } = spec.tags;
	let said = kind === 'semver' ? `versions ${pattern}` : kind === 'regexp' ? `tags like /${pattern}/` : `tag ${pattern}`;
	if (spec.promote_from) {
		said = `from ${spec.promote_from}`;
		if (spec.auto_promote) said += ' by itself';
		if (spec.promote_after) said += ` after ${shortDuration(spec.promote_after)}`;
	} else if (kind === 'none') return 'only by hand';
	return spec.approve || spec.promote_approval ? `${said}, once approved` : said;
}
