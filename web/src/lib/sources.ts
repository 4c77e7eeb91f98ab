import type { Webhook } from './api/types';

type Source = Webhook['source'];

/** A product that sends webhooks: its name, and how a person sets one up there. */
export interface Product {
	name: string;
	/** How it shows a secret; none when it can't. */
	secret?: 'signs' | 'sends';
	/** Its payload does not say which registry it is. */
	silent?: boolean;
	steps: string[];
	/** What to put where, as text to copy: url and secret are filled in. */
	example?: (url: string, secret: string) => string;
}

export const products: Record<Source, Product> = {
	dockerhub: { name: 'Docker Hub', steps: ['Open the repository on hub.docker.com and choose Webhooks.', 'Give the webhook a name, put the address in Webhook URL, and choose Create.'] },
	github: {
		name: 'GitHub',
		secret: 'signs',
		steps: [
			'Open the repository or organization that has the package: Settings, Webhooks, Add webhook.',
			'Put the address in Payload URL, choose the content type application/json, and put the secret in Secret.',
			'Choose “Let me select individual events”, and of these Packages and Registry packages.'
		]
	},
	gitea: {
		name: 'Gitea',
		secret: 'signs',
		steps: ['Open the settings of the owner of the package, a person or an organization: Webhooks, Add webhook, Gitea.', 'Put the address in Target URL and the secret in Secret.', 'Choose Custom events, and of these Package.']
	},
	forgejo: {
		name: 'Forgejo',
		secret: 'signs',
		steps: ['Open the settings of the owner of the package, a person or an organization: Webhooks, Add webhook, Forgejo.', 'Put the address in Target URL and the secret in Secret.', 'Choose Custom events, and of these Package.']
	},
	gitlab: {
		name: 'GitLab',
		secret: 'sends',
		steps: ['On the machine of GitLab, add this to /etc/gitlab/gitlab.rb and run gitlab-ctl reconfigure.', 'Keep ignore: without it the registry tells of each pull, Berth’s own polls among them.'],
		example: (url, secret) =>
			`registry['notifications'] = [\n  { 'name' => 'berth', 'url' => '${url}',\n    'timeout' => '5s', 'threshold' => 5, 'backoff' => '10s',\n    'ignore' => { 'mediatypes' => ['application/octet-stream'], 'actions' => ['pull'] }${secret ? `,\n    'headers' => { 'Authorization' => ['Bearer ${secret}'] }` : ''} }\n]`
	},
	distribution: {
		name: 'CNCF Distribution',
		secret: 'sends',
		steps: ['Add this to the registry’s configuration and start it anew.', 'Keep ignore: without it the registry tells of each pull, Berth’s own polls among them. Some versions (2.8) heed actions only where mediatypes names something, here layers.'],
		example: (url, secret) => `notifications:\n  endpoints:\n    - name: berth\n      url: ${url}\n${secret ? `      headers:\n        Authorization: [Bearer ${secret}]\n` : ''}      timeout: 5s\n      threshold: 5\n      backoff: 10s\n      ignore:\n        mediatypes: [application/octet-stream]\n        actions: [pull]`
	},
	harbor: {
		name: 'Harbor',
		secret: 'sends',
		steps: ['Open the project in Harbor: Webhooks, New webhook, notify type http, payload format Default or CloudEvents.', 'Choose the event Artifact pushed.', 'Put the address in Endpoint URL and the secret in Auth Header.']
	},
	quay: { name: 'Quay', steps: ['Open the repository: Settings, Create notification, event Push to Repository.', 'Choose Webhook POST and put the address in Webhook URL.'] },
	zot: {
		name: 'zot',
		secret: 'sends',
		silent: true,
		steps: ['Add this to zot’s configuration and start it anew.'],
		example: (url, secret) =>
			JSON.stringify(
				{ extensions: { events: { enable: true, sinks: [{ type: 'http', address: url, timeout: '5s', ...(secret ? { credentials: { username: 'berth', password: secret } } : {}) }] } } },
				null,
				2
			)
	},
	generic: {
		name: 'Anything else',
		secret: 'sends',
		steps: ['Have whatever pushes the image send this afterwards.'],
		example: (url, secret) => `curl -fsS -X POST -H 'Content-Type: application/json' \\\n${secret ? `  -H 'Authorization: Bearer ${secret}' \\\n` : ''}  -d '{"image": "ghcr.io/ana/shop:1.4"}' \\\n  ${url}`
	}
};

export const verdictTone = { accepted: 'ok', ignored: 'plain', refused: 'bad' } as const;

/** An image as a reference: "ghcr.io/ana/shop:1.4". */
export const imageOf = (h: { repository: string; tag?: string; digest?: string }) => (h.tag ? `${h.repository}:${h.tag}` : h.digest ? `${h.repository}@${h.digest.slice(0, 19)}…` : h.repository);
