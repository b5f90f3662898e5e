import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Argument, Command } from 'commander';
import { type CliContext, Failed } from '../../shared/command-line.ts';
import { type CommandWords, commandsFromHelp, wordsFromHelp, wordsOf } from './command-words.ts';
import { completionScript, type Shell, shells } from './completion-scripts.ts';

export interface CompletionOptions {
  /** The commands of this bundle by name. */
  readonly own: Readonly<Record<string, (context: CliContext) => Command>>;
  /** What the front door, or one of its commands, says to --help. */
  readonly help?: (argv: readonly string[]) => Promise<string>;
}

export function completionCommand(
  context: CliContext,
  { own, help = askFrontDoor }: CompletionOptions,
): Command {
  return new Command('completion')
    .description('print a script that completes commands and flags')
    .addArgument(new Argument('<shell>', 'whose').choices(shells))
    .addHelpText(
      'after',
      `
Examples:
  source <(parallax completion bash)
  parallax completion zsh > "\${fpath[1]}/_parallax"
  parallax completion fish > ~/.config/fish/completions/parallax.fish`,
    )
    .action(async (shell: Shell) => {
      const commands = commandsFromHelp(await help(['--help']));
      const below = await Promise.all(
        commands.map(async ({ name }): Promise<readonly CommandWords[]> => {
          const make = own[name];
          // One that says nothing completes to nothing.
          return make
            ? wordsOf(make(context))
            : [wordsFromHelp(name, await help([name, '--help']).catch(() => ''))];
        }),
      );
      const words = [{ path: '', subcommands: commands, options: [] }, ...below.flat()];
      context.terminal.out(completionScript(shell, words));
    });
}

async function askFrontDoor(argv: readonly string[]): Promise<string> {
  const [node, file] = [process.execPath, process.argv[1] ?? ''];
  const { stdout } = await promisify(execFile)(node, [file, ...argv], { timeout: 20_000 }).catch(
    (error: Error) => {
      throw new Failed(`parallax ${argv.join(' ')} could not be asked: ${error.message}`);
    },
  );
  return stdout;
}
