import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { Failed, runCommandLine, table } from '../../shared/command-line.ts';

const terminal = { out: () => undefined, err: () => undefined, columns: null, colour: false };

async function optionsOf(argv: readonly string[]): Promise<Record<string, unknown> | number> {
  let got: Record<string, unknown> = {};
  const command = new Command('try')
    .option('--listen ADDRESS', 'a value', 'here')
    .option('--allow CIDR[:PORT]', 'a value with an optional part')
    .option('-n, --count N', 'a value with a short flag')
    .option('--colour [WHEN]', 'an optional value')
    .option('--json', 'a switch')
    .action((options) => {
      got = options;
    });
  const code = await runCommandLine(command, argv, terminal);
  return code === 0 ? got : code;
}

test('a failure with a stranger’s words in it is printed line by line, without what steers a terminal', async () => {
  const said: string[] = [];
  const command = new Command('try').action(() => {
    throw new Failed('two lines:\none with \u001b[2J in it');
  });
  const code = await runCommandLine(command, [], { ...terminal, err: (text) => void said.push(text) });
  expect([code, ...said]).toEqual([1, 'parallax: two lines:\none with \ufffd[2J in it\n']);
});

describe('flags written as a manual page has them', () => {
  test.each<[string[], Record<string, unknown> | number]>([
    [[], { listen: 'here' }],
    [['--listen', 'there'], { listen: 'there' }],
    [['--listen=there', '--json'], { listen: 'there', json: true }],
    [['--allow', '10.0.0.0/8:443'], { listen: 'here', allow: '10.0.0.0/8:443' }],
    [['-n', '3'], { listen: 'here', count: '3' }],
    [['--colour'], { listen: 'here', colour: true }],
    [['--colour', 'never'], { listen: 'here', colour: 'never' }],
    [['--listen'], 2],
    [['--allow'], 2],
    [['--json', 'more'], 2],
  ])('%j', async (argv, expected) => {
    expect(await optionsOf(argv)).toEqual(expected);
  });
});

describe('tables', () => {
  const head = ['ID', 'NAME', 'REGION', 'STATUS', 'VERSION'];
  const rows = [
    ['4', 'local-ap-south', 'ap-south', 'active', '0.1.0'],
    ['17', 'lab', 'lab', 'pending', ''],
  ];

  test.each([1, 2, 5, 20, 21, 22, 30, 38, 39, 45, 80])('fit %i columns', (columns) => {
    const lines = table({ ...terminal, columns }, head, rows)
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
  });

  test('say where something was cut, and cut nothing where it goes to a file', () => {
    expect(table({ ...terminal, columns: 25 }, head, rows).split('\n')[1]).toBe('4   local-ap-south  ap-s…');
    expect(table(terminal, head, rows).split('\n')[1]).toBe('4   local-ap-south  ap-south  active   0.1.0');
  });
});
