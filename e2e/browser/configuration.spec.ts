import { expect, picture, sound, test, unique, unproved } from './berth.ts';

test('a configuration is planned, applied and downloaded', async ({ dashboard: page }, info) => {
	const project = unique(info, 'as-code');
	const yaml = (more: string) => `berth: 1
projects:
  ${project}:
    image: ${project}
    stages:
      prod:
        hostname: ${project}.localhost
        env: {LOG_LEVEL: info}
        secrets:
          TOKEN: {context: nowhere, name: TOKEN}
${more}`;
	const text = page.getByLabel('YAML');
	const show = page.getByRole('button', { name: 'Show the plan' });
	const apply = page.getByRole('button', { name: 'Apply', exact: true });

	await test.step('from the system page', async () => {
		await page.goto('/system');
		await page.getByRole('link', { name: 'Configuration' }).click();
		await expect(page.getByRole('heading', { level: 1, name: 'Configuration' })).toBeVisible();
		await expect(show).toBeDisabled();
		await sound(page);
		await picture(page, info, 'configuration-empty');
	});

	await test.step('a slip is named with its place', async () => {
		await text.fill(yaml('      dev: {hostnam: x}\n'));
		await show.click();
		await expect(page.getByTestId('flaws')).toContainText(`projects.${project}.stages.dev.hostnam`);
		await expect(page.getByTestId('flaws')).toContainText('did you mean hostname?');
		await sound(page);
		await picture(page, info, 'configuration-flaw');
	});

	await test.step('choose a file, look at its plan, apply it', async () => {
		await page.getByLabel('File', { exact: true }).setInputFiles({ name: 'berth.yaml', mimeType: 'application/yaml', buffer: Buffer.from(yaml('')) });
		await expect(text).toHaveValue(yaml(''));
		await show.focus();
		await page.keyboard.press('Enter');
		await expect(page.getByTestId('tally')).toHaveText('2 to create.');
		await expect(page.getByTestId('plan')).toContainText(`${project}/prod`);
		await expect(page.getByText('the secret nowhere/TOKEN is not set')).toBeVisible();
		await sound(page);
		await picture(page, info, 'configuration-plan');
		await apply.click();
		await expect(page.getByTestId('result')).toContainText(`stage ${project}/prod`);
		await sound(page);
		await show.click();
		await expect(page.getByTestId('tally')).toHaveText('Nothing to change: the server has all of it.');
	});

	await test.step('what somebody else changed meanwhile stays', async () => {
		await text.fill(yaml('').replace('LOG_LEVEL: info', 'LOG_LEVEL: debug'));
		await show.click();
		await expect(page.getByTestId('plan')).toContainText('debug');
		const stage = (await (await page.request.get(`/api/projects/${project}/stages/prod`)).json()) as { version: number; spec: object };
		const theirs = await page.request.put(`/api/projects/${project}/stages/prod`, { data: { version: stage.version, spec: { ...stage.spec, replicas: 2 } } });
		expect(theirs.status()).toBe(200);
		await apply.click();
		await expect(page.getByRole('alert')).toContainText('nothing was applied');
		await page.getByRole('button', { name: 'Look at a new plan' }).click();
		await expect(page.getByTestId('plan')).toContainText('Replicas');
		await apply.click();
		await expect(page.getByTestId('result')).toContainText('Applied');
	});

	await test.step('what is removed is asked about', async () => {
		await text.fill(`berth: 1\nprojects:\n  ${project}: {image: ${project}, stages: {}}\n`);
		await show.click();
		await expect(page.getByTestId('left')).toContainText(`stage ${project}/prod`);
		await page.getByLabel('Remove what the file does not name').check();
		await expect(apply).toBeDisabled();
		await show.click();
		await expect(page.getByTestId('plan')).toContainText('remove');
		await apply.click();
		const dialog = page.getByRole('alertdialog');
		await expect(dialog).toContainText(`stage ${project}/prod`);
		await sound(page);
		await picture(page, info, 'configuration-remove');
		await dialog.getByRole('button', { name: 'Cancel' }).click();
		expect((await page.request.get(`/api/projects/${project}/stages/prod`)).status()).toBe(200);
	});

	await test.step('who enters, and under whose eyes', async () => {
		const corp = unique(info, 'corp');
		const entering = (more: string) => `berth: 1
providers:
  ${corp}:
    preset: keycloak
    issuer: https://id.example.com/realms/${corp}
    client_id: berth
    client_secret: {}
    enabled: false
${more}`;
		await page.getByLabel('Remove what the file does not name').uncheck();
		await text.fill(entering('second_factor:\n  required_of: everybody\n'));
		await show.click();
		await expect(page.getByTestId('flaws')).toContainText('your own session would end');
		await text.fill(entering(''));
		await show.click();
		await expect(page.getByTestId('plan')).toContainText(`https://id.example.com/realms/${corp}`);
		await expect(page.getByText(`the client secret of the provider ${corp} is not set`)).toBeVisible();
		await sound(page);
		await picture(page, info, 'configuration-who-enters');

		// What is for who has just proved who they are asks for it, and loses no plan.
		await unproved(page, '**/api/manifest/apply', () => apply.click());
		await apply.click();
		await expect(page.getByTestId('result')).toContainText(`provider ${corp}`);
		expect((await page.request.get(`/api/providers/${corp}`)).status()).toBe(200);

		await text.fill('berth: 1\nproviders: {}\n');
		await show.click();
		await expect(page.getByTestId('left')).toContainText(`provider ${corp}`);
		await page.getByLabel('Remove what the file does not name').check();
		await show.click();
		await apply.click();
		const dialog = page.getByRole('alertdialog');
		await expect(dialog).toContainText('Whoever came by the provider is signed out');
		await picture(page, info, 'configuration-remove-provider');
		await dialog.getByRole('button', { name: 'Cancel' }).click();
		await page.request.delete(`/api/providers/${corp}`);
	});

	await test.step('download it', async () => {
		const download = page.waitForEvent('download');
		await page.getByRole('link', { name: 'Download', exact: true }).click();
		expect((await download).suggestedFilename()).toBe('berth.yaml');
		await page.getByRole('button', { name: 'Download with secrets…' }).click();
		const dialog = page.getByRole('dialog', { name: 'Download with secrets' });
		const act = dialog.getByRole('button', { name: 'Download' });
		await dialog.getByLabel('Public keys of age').fill('ana');
		await act.click();
		await expect(dialog.getByRole('alert')).toContainText('is no public key of age');
		await dialog.getByLabel('Public keys of age').fill('age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p');
		await sound(page);
		await picture(page, info, 'configuration-seal');
		await unproved(page, '**/api/manifest/export', () => act.click());
		await expect(dialog.getByRole('alert')).toContainText('Nothing was exported');
		const sealed = page.waitForEvent('download');
		await act.click();
		expect((await sealed).suggestedFilename()).toBe('berth.yaml');
		await expect(dialog).toHaveCount(0);
		const exported = await (await page.request.get('/api/manifest')).text();
		expect(exported).toContain(`hostname: ${project}.localhost`);
		await page.request.delete(`/api/projects/${project}`);
	});
});
