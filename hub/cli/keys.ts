import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { type CliContext, Failed, jsonLine, table, UsageError } from '../../shared/command-line.ts';
import { type KeyFile, readKeyFile, rootFileName } from '../trust/key-files.ts';
import { signingKeyOf } from '../trust/key-pair.ts';
import { KeysError } from '../trust/keys-error.ts';
import { readHubKeys } from '../trust/load-keys.ts';
import { type Rotated, type RotateOptions, rotateKeys } from '../trust/rotate-keys.ts';
import { readKeySetClaims } from '../trust/sign-key-set.ts';
import { ago } from './ages.ts';

const help = `
Runs where the keys lie, without a hub: in PARALLAX_KEYS, or in .parallax/keys beside \`npm start\`.

  $ parallax keys show
  $ parallax keys rotate --lease            new key for leases and enrollments
  $ parallax keys rotate --lease --drop-old after a theft: what the old keys signed is void at once
  $ parallax keys rotate --root             new root, signed by the old one: probes follow by themselves

The root's private key is needed to sign the others, not to run a hub. Keep it offline: move root-*.json to another
place, and name it when you rotate (a new root is then written beside it):

  $ parallax keys rotate --lease --root-key /media/usb/root-….json

Running hubs notice within 5 seconds. An old key verifies for 7 days more, unless --drop-old is given.`;

interface RotateFlags {
  readonly lease?: boolean;
  readonly kafka?: boolean;
  readonly root?: boolean;
  readonly dropOld?: boolean;
  readonly publicUrl?: string;
  readonly rootKey?: string;
  readonly json?: boolean;
}

export function keysCommand(context: CliContext): Command {
  const dir = () => keysDir(context);
  return new Command('keys')
    .description("show or rotate the hub's keys")
    .option('--keys DIR', 'where they lie (default: PARALLAX_KEYS)')
    .addHelpText('after', help)
    .addCommand(showCommand(context, dir))
    .addCommand(rotateCommand(context, dir));
}

type FindDir = () => string;

/** In PARALLAX_KEYS, or beside `npm start`. */
export function keysDir({ env, cwd }: Pick<CliContext, 'env' | 'cwd'>): string {
  return env.PARALLAX_KEYS || join(env.PARALLAX_DATA || join(cwd, '.parallax'), 'keys');
}

function showCommand({ terminal }: CliContext, dir: FindDir): Command {
  return new Command('show')
    .description('which keys there are, and which sign')
    .option('--json', 'one JSON object a line')
    .action(async (_own: unknown, command: Command) => {
      const { json, keys: folder = dir() } = command.optsWithGlobals<{ json?: boolean; keys?: string }>();
      const rows = await orFailed(describeKeys(folder));
      if (json) return terminal.out(rows.map(jsonLine).join(''));
      const now = Date.now();
      const cells = rows.map((row) => [row.use, row.kid, row.state, row.madeAt ? ago(row.madeAt, now) : '']);
      terminal.out(table(terminal, ['USE', 'KEY', 'STATE', 'MADE'], cells));
    });
}

interface KeyLine {
  readonly use: 'root' | 'lease' | 'kafka';
  readonly kid: string;
  readonly state: string;
  readonly madeAt: string | null;
}

async function describeKeys(dir: string): Promise<KeyLine[]> {
  // Proves that they fit before they are shown.
  const { rootThumbprint, keySet } = await readHubKeys(dir);
  const file = await readKeyFile(dir);
  const { iss, version } = readKeySetClaims(keySet);
  const here = await stat(join(dir, rootFileName(rootThumbprint))).catch(() => null);
  const place = here ? 'private key here' : 'private key elsewhere';
  return [
    {
      use: 'root',
      kid: rootThumbprint,
      state: `signs key set ${version} for ${iss}, ${place}`,
      madeAt: null,
    },
    ...linesOf('lease', file?.lease ?? []),
    ...linesOf('kafka', file?.kafka ?? []),
  ];
}

function linesOf(use: 'lease' | 'kafka', keys: KeyFile['lease'] | KeyFile['kafka']): KeyLine[] {
  return keys.map(({ jwk, madeAt }, index) => ({
    use,
    kid: signingKeyOf(jwk).kid,
    state: index === 0 ? 'signs' : 'verifies',
    madeAt: new Date(madeAt).toISOString(),
  }));
}

function rotateCommand({ terminal }: CliContext, dir: FindDir): Command {
  return new Command('rotate')
    .description('make new keys; those before go on verifying for a while')
    .option('--lease', 'the key for leases and enrollments')
    .option('--kafka', "the key for probes' Kafka tokens")
    .option('--root', 'the root that signs the key set')
    .option('--drop-old', 'keys rotated now or before verify no longer')
    .option('--public-url URL', 'sign the key set for another PARALLAX_PUBLIC_URL')
    .option('--root-key FILE', "the root's private key, where it is not with the others")
    .option('--json', 'one JSON object with what is now in force')
    .action(async (_own: unknown, command: Command) => {
      const {
        json,
        keys: folder = dir(),
        ...flags
      } = command.optsWithGlobals<RotateFlags & { keys?: string }>();
      const rotated = await orFailed(rotateKeys(optionsOf(folder, flags)));
      terminal.out(json ? jsonLine(rotated) : tell(rotated));
    });
}

function optionsOf(dir: string, flags: RotateFlags): RotateOptions {
  const { lease = false, kafka = false, root = false, dropOld = false, publicUrl, rootKey } = flags;
  if (!(lease || kafka || root || dropOld || publicUrl)) {
    throw new UsageError('rotate what? Name --lease, --kafka or --root, or several');
  }
  return {
    dir,
    lease,
    kafka,
    root,
    dropOld,
    ...(publicUrl === undefined ? {} : { publicUrl: originOf(publicUrl) }),
    ...(rootKey === undefined ? {} : { rootKeyFile: rootKey }),
    now: () => Date.now() * 1000,
  };
}

function originOf(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url.origin;
  throw new UsageError(`--public-url takes an address like https://hub.example, not '${text}'`);
}

function tell({ version, root, rootFile, leaseKid, kafkaKid, dropped }: Rotated): string {
  return [
    `key set ${version}, signed by the root ${root}`,
    ...(rootFile === null ? [] : [`  its private key: ${rootFile} (better kept offline)`]),
    `leases and enrollments: ${leaseKid}`,
    `Kafka tokens:           ${kafkaKid}`,
    ...(dropped.length > 0 ? [`no longer believed:     ${dropped.join(', ')}`] : []),
    '',
  ].join('\n');
}

/** Keys that are missing, exposed or another database's end in one line. */
export async function orFailed<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    if (error instanceof KeysError) throw new Failed(error.message, { cause: error });
    throw error;
  });
}
