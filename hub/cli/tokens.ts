import { Command } from 'commander';
import { type CliContext, jsonLine, paint, table, UsageError } from '../../shared/command-line.ts';
import { makeToken, tokenRequestSchema } from '../api/tokens.ts';
import { ago, until } from './ages.ts';
import { connectHub } from './hub-client.ts';
import { asHub, helpsItself } from './own-database.ts';

interface Token {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly regions: readonly string[] | null;
  readonly state: 'good' | 'expired' | 'revoked' | 'untrusted';
  readonly createdBy: string;
  readonly createdAt: string;
  readonly expiresAt: string | null;
}

const help = `
Examples:
  parallax tokens create ci --scope write --ttl 90d
  parallax tokens create wall --scope read --region eu-west --region us-east
  parallax tokens list
  parallax tokens revoke 7
  DATABASE_URL=… PARALLAX_KEYS=… parallax tokens create me --scope admin
                            the first one, on the hub's machine, where nobody has a token

\`create\` prints the token alone, so that it can be kept at once: the hub has only its hash. Scopes: admin may do
everything, write changes endpoints, read only looks; each includes those after it.`;

export function tokensCommand(context: CliContext): Command {
  return new Command('tokens')
    .description('make, list or revoke API tokens')
    .addHelpText('after', help)
    .addCommand(createCommand(context))
    .addCommand(listCommand(context))
    .addCommand(revokeCommand(context));
}

interface CreateFlags {
  readonly scope: readonly string[];
  readonly region?: readonly string[];
  readonly ttl?: string;
  readonly json?: true;
}

function createCommand(context: CliContext): Command {
  return new Command('create')
    .description('make a token and print it')
    .argument('<name>', 'for people and the audit log')
    .requiredOption('--scope SCOPE', 'admin, write or read (repeatable)', gatherScope)
    .option('--region R', 'the only region it may see (repeatable); all unless given', gather)
    .option('--ttl T', 'how long it is good, such as 90d; for ever unless given')
    .option('--json', 'print one JSON object with the token and what it may do')
    .action(async (name: string, { scope, region, ttl, json }: CreateFlags) => {
      const wanted = { name, scopes: scope, regions: region ?? null, ...(ttl !== undefined && { ttl }) };
      const made = helpsItself(context)
        ? await fromDatabase(context, wanted)
        : await fromHub(context, wanted);
      context.terminal.out(json ? jsonLine(made) : `${made.token}\n`);
    });
}

interface MadeToken extends Token {
  readonly token: string;
}

async function fromHub({ env, cwd, signal }: CliContext, wanted: object): Promise<MadeToken> {
  return (await connectHub(env, cwd, signal)).send<MadeToken>('POST', '/api/v1/tokens', wanted);
}

/** The first one: there is none yet to ask the hub with. */
async function fromDatabase(context: CliContext, wanted: object): Promise<MadeToken> {
  const { data, error } = tokenRequestSchema.safeParse(wanted);
  if (!data) {
    throw new UsageError(error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
  }
  return asHub(context, 'parallax-tokens', (sql, keys) =>
    makeToken(sql, keys, data, { actor: 'command line', nowUs: Date.now() * 1000 }),
  );
}

function listCommand({ terminal, env, cwd, signal }: CliContext): Command {
  return new Command('list')
    .description('list tokens, newest first (not the tokens themselves)')
    .option('--json', 'one JSON object a line')
    .action(async ({ json }: { json?: true }) => {
      const hub = await connectHub(env, cwd, signal);
      const { tokens } = await hub.get<{ tokens: readonly Token[] }>('/api/v1/tokens');
      if (json) return terminal.out(tokens.map(jsonLine).join(''));
      const nowMs = Date.now();
      const rows = tokens.map(({ id, name, scopes, regions, state, expiresAt, createdAt, createdBy }) => [
        String(id),
        name,
        state,
        scopes.join(','),
        regions?.join(',') ?? 'all',
        expiresAt === null ? 'never' : state === 'good' ? `in ${until(expiresAt, nowMs)}` : '',
        ago(createdAt, nowMs),
        createdBy,
      ]);
      const head = ['ID', 'NAME', 'STATE', 'SCOPES', 'REGIONS', 'ENDS', 'MADE', 'BY'];
      terminal.out(
        table(terminal, head, rows, (cell, column) =>
          column === 2 ? paint(terminal, cell.trim() === 'good' ? 'green' : 'dim', cell) : cell,
        ),
      );
    });
}

function revokeCommand({ terminal, env, cwd, signal }: CliContext): Command {
  return new Command('revoke')
    .description('let a token no longer in')
    .argument('<id>', 'as `parallax tokens list` shows it')
    .action(async (id: string) => {
      if (!/^[1-9]\d{0,14}$/.test(id))
        throw new UsageError(`'${id}' is not a token's id: parallax tokens list shows them`);
      await (await connectHub(env, cwd, signal)).send('DELETE', `/api/v1/tokens/${id}`);
      terminal.out(`revoked ${id}\n`);
    });
}

function gatherScope(value: string, before?: readonly string[]): readonly string[] {
  if (!['admin', 'write', 'read'].includes(value))
    throw new UsageError(`--scope ${value}: one of admin, write or read`);
  return gather(value, before);
}

function gather(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
