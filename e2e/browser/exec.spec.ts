import { expect, makeStage, picture, sound, test, unique } from './berth.ts';

test('a command is typed in an instance, and its output is there', async ({ dashboard: page }, info) => {
	const project = unique(info, 'shell');
	const stage = await makeStage(page, project);
	await stage.live('1');
	try {
		await page.goto(stage.path);
		await page.getByRole('link', { name: 'Terminal in instance 1' }).click();
		// Also on a phone, where the tabs scroll, the chosen one is in view.
		await expect(page.getByRole('link', { name: 'Terminal', exact: true })).toBeInViewport({ ratio: 1 });
		const state = page.getByTestId('exec-state');
		await expect(state).toHaveAttribute('data-state', 'idle');
		await page.getByRole('button', { name: 'Run', exact: true }).click();
		await expect(state).toHaveAttribute('data-state', 'open');
		const screen = page.getByTestId('terminal');
		const shown = screen.locator('.xterm-rows');
		await expect(shown).toContainText('$');
		await page.keyboard.type('env APP_VERSION\n');
		await expect(shown).toContainText(/APP_VERSION\s*1\s*\$/); // what is typed before that is in between
		await page.keyboard.type('echo looked in\n');
		await expect(shown).toContainText(/\$ echo looked in\s*looked in/);
		await expect(shown).toContainText(/looked in\s*looked in\s*\$/);
		await page.keyboard.type('size\n');
		await expect(shown).toContainText(/\d+ \d+ true/);
		// The screen fills its frame, in the dashboard's colours and type.
		const look = await screen.evaluate((node) => {
			const rows = node.querySelector<HTMLElement>('.xterm-rows')!;
			return { font: getComputedStyle(rows).fontFamily, height: rows.getBoundingClientRect().height / node.getBoundingClientRect().height };
		});
		expect(look.font).toContain('JetBrains Mono');
		expect(look.height).toBeGreaterThan(0.85);
		await sound(page);
		await picture(page, info, 'terminal');
		if (info.project.name === 'phone') await page.getByRole('button', { name: 'Ctrl-D' }).click();
		else await page.keyboard.type('exit 3\n');
		await expect(state).toHaveAttribute('data-state', 'ended');
		await expect(state).toContainText(info.project.name === 'phone' ? 'exit code 0' : 'exit code 3');

		await page.getByLabel('Command').fill('bash');
		await page.getByRole('button', { name: 'Run again' }).click();
		await expect(state).toContainText('the image has no "bash"');
		await sound(page);

		await page.goto('/activity');
		await expect(page.getByText(`ran “sh” in instance 1 of ${project}/prod`).first()).toBeVisible();
		await expect(page.getByText('the image has no "bash"').first()).toBeVisible();
	} finally {
		await stage.remove();
	}
});
