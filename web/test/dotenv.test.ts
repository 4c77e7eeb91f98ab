import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDotenv, parseDotenv } from '$lib/dotenv';

test('a .env file is read as docker and godotenv read it', () => {
	const text = [
		'# comment',
		'',
		'A=1',
		'  export B = two words  # why',
		'C=a#b=c',
		"D='as $IT \\n stands' # comment",
		'E="line\\nbreak \\"quoted\\" \\$5 \\d"',
		'F="first',
		'  # no comment',
		'last"',
		"G='one",
		"two'",
		'H=',
		'I=# nothing',
		'J=""',
		'K=x\r'
	].join('\n');
	assert.deepEqual(parseDotenv(text), {
		variables: [
			['A', '1'],
			['B', 'two words'],
			['C', 'a#b=c'],
			['D', 'as $IT \\n stands'],
			['E', 'line\nbreak "quoted" $5 \\d'],
			['F', 'first\n  # no comment\nlast'],
			['G', 'one\ntwo'],
			['H', ''],
			['I', ''],
			['J', ''],
			['K', 'x']
		],
		errors: []
	});
});

test('what is wrong is told by its line, and the rest is read', () => {
	const { variables, errors } = parseDotenv('A=1\njust words\n2B=x\n=y\nA=2\nE="x" y\nC="open\nD=4');
	assert.deepEqual(variables, [
		['A', '1'],
		['D', '4']
	]);
	assert.deepEqual(
		errors.map((e) => e.line),
		[2, 3, 4, 5, 6, 7]
	);
	assert.match(errors[3]!.message, /line 1 already/);
	assert.match(errors[5]!.message, /not closed/);
});

test('what is written is read back as it was', () => {
	const variables: [string, string][] = ['', 'plain', 'two words', ' edges ', 'a#b', ' #', "it's", 'say "hi"', `both ' and "`, 'a\nb', 'a\r\nb', '\\n', '$HOME', "'", '"', '\\', "\\'", 'päß 世界', '\t', '=', "a'\nb\\"].map((v, i) => [`V${i}`, v]);
	assert.deepEqual(parseDotenv(formatDotenv(variables)), { variables, errors: [] });
});
