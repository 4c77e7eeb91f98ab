/** A browser's self-description in words: "Firefox on Linux". */
export function agentWords(agent: string): { words: string; kind: 'desktop' | 'phone' | 'program' } {
	const browser = /Edg\//.test(agent)
		? 'Edge'
		: /OPR\//.test(agent)
			? 'Opera'
			: /Firefox\//.test(agent)
				? 'Firefox'
				: /Chrom(e|ium)\//.test(agent)
					? 'Chrome'
					: /Safari\//.test(agent)
						? 'Safari'
						: '';
	if (!browser) return { words: agent.split(/[\s/]/)[0] || 'Unknown program', kind: 'program' };
	const phone = /Android|iPhone|iPad|Mobile/.test(agent);
	const system = /iPhone|iPad/.test(agent) ? 'iOS' : /Android/.test(agent) ? 'Android' : /Windows/.test(agent) ? 'Windows' : /Mac OS X/.test(agent) ? 'macOS' : /CrOS/.test(agent) ? 'ChromeOS' : /Linux/.test(agent) ? 'Linux' : '';
	return { words: system ? `${browser} on ${system}` : browser, kind: phone ? 'phone' : 'desktop' };
}
