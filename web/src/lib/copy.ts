/** Puts text on the clipboard; also where the page is not on HTTPS. Says whether it worked. */
export async function copy(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = document.createElement('textarea');
		area.value = text;
		area.className = 'sr-only';
		const was = document.activeElement as HTMLElement | null;
		(was?.closest('[role="dialog"],[role="alertdialog"]') ?? document.body).append(area);
		area.select();
		const worked = document.execCommand('copy');
		area.remove();
		was?.focus();
		return worked;
	}
}

/** Hands the reader a file. */
export function download(name: string, text: string) {
	const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
	Object.assign(document.createElement('a'), { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
