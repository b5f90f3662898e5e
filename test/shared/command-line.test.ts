import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../../shared/command-line.ts';

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
