import { Command } from 'commander';
import { type CliContext, jsonLine, table, UsageError } from '../../shared/command-line.ts';
import { ago, until } from './ages.ts';
import { connectHub, type HubClient } from './hub-client.ts';
import { everyPage } from './pages.ts';

const help = `
The token goes to the host of the new probe, which trades it for an identity when it starts first:

  $ parallax enroll --region eu-west > token
  $ parallax probe --hub https://hub.example --token-file token --data /var/lib/parallax

Whoever holds it can come in as a probe, as often as --uses says and until --ttl has passed. Probes that come in with
--approve wait for \`parallax probes approve\`. A region that is new is made.

  $ parallax enroll --region office --uses 5 --ttl 24h --approve
  $ parallax enroll list
  $ parallax enroll revoke 7d444840-9dc0-11d1-b245-5ffdce74fad2`;

interface EnrollFlags {
  readonly region?: string;
  readonly uses: string;
  readonly ttl: string;
  readonly approve?: boolean;
  readonly json?: boolean;
}

interface Enrollment {
  readonly jti: string;
  readonly region: string;
  readonly uses: number;
  readonly used: number;
  readonly approve: boolean;
  readonly state: string;
  readonly createdBy: string;
  readonly createdAt: string;
  readonly expiresAt: string;
}

export function enrollCommand(context: CliContext): Command {
  const { terminal, env, cwd, signal } = context;
  const connect = () => connectHub(env, cwd, signal);
  return new Command('enroll')
    .description('make a token that lets a probe in, and print it alone')
    .option('--region R', 'the region its probes belong to')
    .option('--uses N', 'how many probes may come in by it', '1')
    .option('--ttl T', 'how long it is good, 24h at most', '1h')
    .option('--approve', 'its probes wait until an operator approves them')
    .option('--json', 'print one JSON object with the token and what it is for')
    .addHelpText('after', help)
    .action(async ({ region, uses, ttl, approve = false, json }: EnrollFlags) => {
      if (region === undefined) throw new UsageError('enroll for which region? Name it with --region');
      if (!/^[1-9]\d*$/.test(uses)) throw new UsageError(`--uses takes a number from 1 up, not '${uses}'`);
      const hub = await connect();
      const body = { region, uses: Number(uses), ttl, approve };
      const minted = await hub.send<Enrollment & { token: string }>('POST', '/api/v1/enrollments', body);
      terminal.out(json ? jsonLine(minted) : `${minted.token}\n`);
    })
    .addCommand(listCommand(context, connect))
    .addCommand(revokeCommand(context, connect));
}

function listCommand({ terminal }: CliContext, connect: () => Promise<HubClient>): Command {
  return new Command('list')
    .description('list enrollment tokens, newest first (not the tokens themselves)')
    .option('--json', 'one JSON object a line')
    .action(async (_own: unknown, command: Command) => {
      const { json } = command.optsWithGlobals<{ json?: boolean }>();
      const rows = await everyPage<'enrollments', Enrollment>(
        await connect(),
        '/api/v1/enrollments',
        'enrollments',
      );
      if (json) return terminal.out(rows.map(jsonLine).join(''));
      const now = Date.now();
      const cells = rows.map((row) => [
        row.jti,
        row.region,
        row.state,
        `${row.used}/${row.uses}`,
        row.approve ? 'yes' : 'no',
        row.state === 'open' ? `in ${until(row.expiresAt, now)}` : '',
        ago(row.createdAt, now),
        row.createdBy,
      ]);
      terminal.out(
        table(terminal, ['ID', 'REGION', 'STATE', 'USED', 'APPROVE', 'ENDS', 'MADE', 'BY'], cells),
      );
    });
}

function revokeCommand({ terminal }: CliContext, connect: () => Promise<HubClient>): Command {
  return new Command('revoke')
    .description('let no other probe in by a token; those that came in stay')
    .argument('<id>', 'as `parallax enroll list` shows it')
    .action(async (id: string) => {
      await (await connect()).send('DELETE', `/api/v1/enrollments/${encodeURIComponent(id)}`);
      terminal.out(`revoked ${id}\n`);
    });
}
