import { run } from '../../hub/cli/main.ts';
import type { CliContext } from '../../shared/command-line.ts';

export interface CliRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One call of the hub's command line in this process, as the front door makes it. An error that passes is a bug's. */
export async function runCli(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  over: Partial<CliContext> & {
    columns?: number;
    onOut?: (text: string) => void;
    onErr?: (text: string) => void;
  } = {},
): Promise<CliRun> {
  let [out, err] = ['', ''];
  const { columns = null, onOut, onErr, ...context } = over;
  const code = await run(argv, {
    env,
    cwd: '/',
    signal: AbortSignal.timeout(60_000),
    terminal: {
      out: (text) => {
        out += text;
        onOut?.(text);
      },
      err: (text) => {
        err += text;
        onErr?.(text);
      },
      columns,
      colour: false,
    },
    ...context,
  }).catch((error: Error) => {
    // What the front door does with it.
    err += `parallax: ${error.message}\n`;
    return 1;
  });
  return { code, out, err };
}
