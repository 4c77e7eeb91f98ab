const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const units: [Intl.RelativeTimeFormatUnit, number][] = [
	['year', 31_536_000],
	['month', 2_592_000],
	['day', 86_400],
	['hour', 3600],
	['minute', 60]
];

/** A moment as people say it: "just now", "5 minutes ago", "in 3 days". */
export function ago(at: string | number, now = Date.now()): string {
	const seconds = Math.round((new Date(at).getTime() - now) / 1000);
	for (const [unit, n] of units) {
		if (Math.abs(seconds) >= n) return relative.format(Math.trunc(seconds / n), unit);
	}
	if (Math.abs(seconds) < 10) return 'just now';
	return relative.format(seconds, 'second');
}

const full = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'long' });

/** The exact moment, in the reader's own time zone, named. */
export const exact = (at: string | number) => full.format(new Date(at));

const days = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' });

/** The day as short as it can be said: "Nov 24". */
export const day = (at: string | number) => days.format(new Date(at));

/** The time of day as short as it can be said: "13:05". */
export const hourAndMinute = (at: string | number) => new Date(at).toTimeString().slice(0, 5);

/** The time of day of a log line, to the millisecond, in the reader's time zone. */
export function clock(at: string | number): string {
	const d = new Date(at);
	const two = (n: number) => String(n).padStart(2, '0');
	return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`;
}

/** How long something took: "340 ms", "2.4 s", "3 min 5 s", "2 h 1 min". */
export function took(ms: number): string {
	if (ms < 0) return '0 ms';
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
	const seconds = Math.floor(ms / 1000);
	if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
	const minutes = Math.floor(seconds / 60);
	if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
	return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** Milliseconds between two moments; up to now where the second is missing. */
export function between(from?: string, to?: string, now = Date.now()): number {
	if (!from) return 0;
	return (to ? new Date(to).getTime() : now) - new Date(from).getTime();
}

/** A Go duration as short as it can be said: "1m0s" is "1m", "1h0m0s" is "1h". */
export function shortDuration(d: string | undefined): string {
	if (!d) return '';
	const short = d.replace(/^((?:\d+h)?(?:\d+m))0s$/, '$1').replace(/^(\d+h)0m$/, '$1');
	return short;
}
