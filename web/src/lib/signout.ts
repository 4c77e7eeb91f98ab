import { toast } from 'svelte-sonner';
import { goto } from '$app/navigation';
import { messageOf } from '$lib/api/client';
import { events } from '$lib/state/events.svelte';
import { session, signedOut } from '$lib/state/session.svelte';

/** Signs out, and goes on: to the sign-in page, or by way of the provider. */
export async function signOut() {
	try {
		events.stop();
		const to = await session.signOut();
		if (to === signedOut) await goto(to);
		else location.assign(to);
	} catch (e) {
		toast.error(messageOf(e));
	}
}
