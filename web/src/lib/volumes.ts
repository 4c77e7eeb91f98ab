import type { StageStatus } from './api/types';

/** The engine's names of a stage's volumes. */
export function volumesOf(s: Pick<StageStatus, 'project' | 'name' | 'spec'>): string[] {
	return (s.spec.volumes ?? []).map((v) => `berth_${s.project}_${s.name}_${v.name}`);
}
