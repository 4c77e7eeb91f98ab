/** The present, ticking once a second while the tab is looked at. */
class Now {
	ms = $state(Date.now());
	constructor() {
		setInterval(() => {
			if (document.visibilityState === 'visible') this.ms = Date.now();
		}, 1000);
	}
}

export const now = new Now();
