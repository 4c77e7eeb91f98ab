/** Asking a passkey, in the words that Berth's API takes: bytes as base64url (WebAuthn, section 5.1). */

const toBytes = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
const toText = (bytes: ArrayBuffer | null): string => (bytes ? btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '') : '');

interface Named {
	id: string;
	type: 'public-key';
	transports?: AuthenticatorTransport[];
}
type Asked = { publicKey: Record<string, unknown> & { challenge: string; excludeCredentials?: Named[]; allowCredentials?: Named[]; user?: { id: string } } };

const named = (list?: Named[]) => list?.map((c) => ({ ...c, id: toBytes(c.id) }));

/** Whether this browser knows passkeys at all. */
export const knowsPasskeys = (): boolean => typeof PublicKeyCredential !== 'undefined';

/** Whether it offers them in the field for the username. */
export async function offersPasskeys(): Promise<boolean> {
	return knowsPasskeys() && !!(await PublicKeyCredential.isConditionalMediationAvailable?.().catch(() => false));
}

/** Makes a new passkey. */
export async function createPasskey(options: unknown): Promise<object> {
	const { publicKey } = options as Asked;
	const made = (await navigator.credentials.create({
		publicKey: {
			...publicKey,
			challenge: toBytes(publicKey.challenge),
			user: { ...publicKey.user, id: toBytes(publicKey.user!.id) },
			excludeCredentials: named(publicKey.excludeCredentials)
		} as unknown as PublicKeyCredentialCreationOptions
	})) as PublicKeyCredential;
	const response = made.response as AuthenticatorAttestationResponse;
	return {
		...spelled(made),
		response: { clientDataJSON: toText(response.clientDataJSON), attestationObject: toText(response.attestationObject), transports: response.getTransports?.() ?? [] }
	};
}

/** Has a passkey answer. */
export async function answerPasskey(options: unknown, more: { mediation?: CredentialMediationRequirement; signal?: AbortSignal } = {}): Promise<object> {
	const { publicKey } = options as Asked;
	const used = (await navigator.credentials.get({
		...more,
		publicKey: { ...publicKey, challenge: toBytes(publicKey.challenge), allowCredentials: named(publicKey.allowCredentials) } as unknown as PublicKeyCredentialRequestOptions
	})) as PublicKeyCredential;
	const response = used.response as AuthenticatorAssertionResponse;
	return {
		...spelled(used),
		response: {
			clientDataJSON: toText(response.clientDataJSON),
			authenticatorData: toText(response.authenticatorData),
			signature: toText(response.signature),
			userHandle: toText(response.userHandle)
		}
	};
}

const spelled = (c: PublicKeyCredential) => ({
	id: c.id,
	rawId: toText(c.rawId),
	type: c.type,
	authenticatorAttachment: c.authenticatorAttachment ?? undefined,
	clientExtensionResults: c.getClientExtensionResults()
});

/** What a browser says when nothing came of it, in words; '' when its person has just changed their mind. */
export function passkeyTrouble(e: unknown): string | undefined {
	if (!(e instanceof DOMException)) return undefined;
	if (e.name === 'AbortError') return '';
	if (e.name === 'NotAllowedError') return 'No passkey answered. Try again, or choose another way.';
	if (e.name === 'InvalidStateError') return 'This device holds a passkey of yours already.';
	return 'This browser could not ask a passkey: ' + e.message;
}
