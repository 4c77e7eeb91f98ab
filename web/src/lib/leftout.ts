import { api, must } from './api/client';
import type { LeftOut } from './providers';

/** Who would have no way in left without a provider. */
export const leftOutWithout = (slug: string): Promise<LeftOut> => must(api.GET('/api/providers/{provider}/left-out', { params: { path: { provider: slug } } }));
