import type { StageForm } from '$lib/stageform';

/** What each group of fields is given. */
export interface GroupProps {
	form: StageForm;
	/** What is wrong with the field of that path. */
	error: (path: string) => string | undefined;
}
