import { expect, makeStage, picture, press, sound, test, unique } from './berth.ts';

test('variables are edited as a table and as text, and what changes is told before it is saved', async ({ dashboard: page }, info) => {
	const project = unique(info, 'vars');
	const stage = await makeStage(page, project, { env: { GREETING: 'ahoy', OLD: '1', STAYS: 'as it is' } });
	const slot = `/api/secrets/${project}/DB_URL`;
	try {
		expect((await page.request.put(slot, { data: { value: 'never to be seen' } })).ok()).toBe(true);
		await page.goto(stage.path);
		await press(page.getByRole('link', { name: 'Settings', exact: true }));
		const changes = page.getByTestId('variable-changes');
		const rows = page.getByTestId('variables').getByRole('listitem');
		await expect(rows).toHaveCount(3);
		await expect(changes).toBeHidden();

		// The table: one changed, one removed, a secret added.
		await page.getByLabel('Value of GREETING').fill('hello');
		await press(page.getByRole('button', { name: 'Remove OLD' }));
		await press(page.getByRole('button', { name: 'Add variable' }));
		await page.getByLabel('Name of variable 3').fill('DB');
		await page.getByLabel('Kind of variable 3').selectOption('secret');
		await page.getByLabel('Secret for DB').selectOption(`${project} / DB_URL`);
		await expect(changes).toContainText('1 added, 1 changed, 1 removed');
		await expect(changes.getByRole('listitem').filter({ hasText: 'GREETING' })).toContainText(/ahoy\s*hello/);
		await expect(changes).not.toContainText('STAYS');
		await sound(page);
		await picture(page, info, 'variables-table');

		// As text: what is wrong is told by its line, and is not saved.
		await press(page.getByRole('button', { name: 'As text' }));
		const text = page.getByLabel('Variables as the text of a .env file');
		await expect(text).toHaveValue(/^GREETING=hello$/m);
		// Smaller, an iPhone would enlarge the page.
		if (info.project.name === 'phone') await expect(text).toHaveCSS('font-size', '16px');
		await expect(text, 'a secret is no text').not.toHaveValue(/DB/);
		await text.fill('# what it says\nGREETING="good day"\nSTAYS="as it is"\nno name here\nMORE=\'two\nlines\'\n');
		await expect(page.getByTestId('env-text-errors')).toContainText('Line 4');
		await press(page.getByRole('button', { name: 'Save', exact: true }));
		await expect(page.getByText('One field needs a look')).toBeVisible();
		expect((await stage.spec()).env, 'nothing was saved').toEqual({ GREETING: 'ahoy', OLD: '1', STAYS: 'as it is' });
		await sound(page);
		await picture(page, info, 'variables-text');
		await text.fill((await text.inputValue()).replace('no name here\n', ''));
		await expect(page.getByTestId('env-text-errors')).toBeHidden();
		await press(page.getByRole('button', { name: 'Table' }));
		await expect(page.getByLabel('Value of MORE')).toHaveValue('two\nlines');
		await expect(changes).toContainText('2 added, 1 changed, 1 removed');
		await press(page.getByRole('button', { name: 'Save', exact: true }));
		await expect(page).toHaveURL(new RegExp(`${stage.path}$`));
		expect((await stage.spec()).env).toEqual({ GREETING: 'good day', STAYS: 'as it is', MORE: 'two\nlines' });
	} finally {
		await stage.remove();
		await page.request.delete(slot);
	}
});
