/** Two people at one thing: what an edit that came too late is told. */
import { api, ApiError, must } from './api/client';
import type { Change, Fact } from './api/types';

/** What somebody else saved since it was read here, beside what saving here would do to it. */
export interface Meanwhile {
	/** Who saved it, empty when that is not known. */
	by: string;
	/** When they did, empty when it is gone altogether. */
	at: string;
	theirs: Change[];
	mine: Change[];
}

/** Whether an edit was refused because the version it was made from has moved. */
export const tooLate = (e: unknown): boolean => e instanceof ApiError && e.conflict && !e.unmeant && !e.fields.length;

/** Who caused the newest fact of that kind, of the last ones that are kept. */
export async function lastBy(wanted: (fact: Fact) => boolean, where: { project?: string; stage?: string } = {}): Promise<string> {
	try {
		const { items } = await must(api.GET('/api/activity', { params: { query: { limit: 50, ...where } } }));
		return items.find(wanted)?.actor ?? '';
	} catch {
		return ''; // told without a name
	}
}
