const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Bytes as people say them: "12.4 MiB". */
export function bytes(n: number): string {
	let unit = 0;
	while (n >= 1024 && unit < units.length - 1) {
		n /= 1024;
		unit++;
	}
	return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1).replace(/\.0$/, '')} ${units[unit]}`;
}

/** Bytes without loss, for a field: the largest unit that says n without a remainder; '' for none. */
export function exactBytes(n: number | undefined): string {
	if (!n) return '';
	if (n % 1024) return String(n);
	const short = bytes(n);
	return parseBytes(short) === n ? short : `${n / 1024} KiB`;
}

const scale: Record<string, number> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** "512M", "512 MiB", "1.5 g" as bytes; 0 for nothing, NaN for what is no size. */
export function parseBytes(text: string): number {
	if (!text.trim()) return 0;
	const m = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*$/i.exec(text);
	if (!m) return NaN;
	return Math.round(Number(m[1]) * (scale[m[2]!.toLowerCase()] ?? NaN));
}

/** A count as people say it: "1,204", "12.3k". */
export function count(n: number): string {
	return n < 10_000 ? n.toLocaleString('en') : Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(n);
}
