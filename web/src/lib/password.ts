/** How many characters a password has at least: the server's word, held to it by a test there. */
export const leastPassword = 10;
export const passwordHelp = `${leastPassword} characters or more.`;

// No letters that are read for one another.
const letters = 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789';

/** A password to hand over: four groups of five, about 115 bits. */
export function newPassword(): string {
	const groups = Array.from({ length: 4 }, () => Array.from({ length: 5 }, letter).join(''));
	return groups.join('-');
}

function letter(): string {
	// Values past the last whole multiple would make some letters likelier.
	const byte = new Uint8Array(1);
	do crypto.getRandomValues(byte);
	while (byte[0]! >= 256 - (256 % letters.length));
	return letters[byte[0]! % letters.length]!;
}
