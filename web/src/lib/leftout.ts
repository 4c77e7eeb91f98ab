import { api, must } from './api/client';
import type { LeftOut, SignInMode } from './providers';

/** Who would have no way in left without a provider. */
export const leftOutWithout = (slug: string): Promise<LeftOut> => must(api.GET('/api/providers/{provider}/left-out', { params: { path: { provider: slug } } }));

/** Who would have no way in left were these the passwords that sign in. */
export const leftOutByPasswords = (passwords: SignInMode['passwords']): Promise<LeftOut> => must(api.GET('/api/sign-in-mode/left-out', { params: { query: { passwords } } }));
