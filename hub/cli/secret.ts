import { Command } from 'commander';
import { type CliContext, Failed, jsonLine } from '../../shared/command-line.ts';
import { readSecrets, type Secrets } from '../read-secrets.ts';
import { readStore, readText } from '../read-store-config.ts';
import { createSettings } from '../settings.ts';
import { replicaReportSchema } from '../status/replica-report.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { listReplicas } from '../store/hub-replicas.ts';
import { requireCurrentSchema } from '../store/migrate.ts';
import { migrationsDir, readMigrations } from '../store/migrations.ts';
import { reachDatabase } from '../store/reach-database.ts';
import { checkKeys } from '../trust/check-keys.ts';
import { secretMark } from '../trust/check-secret.ts';
import { readHubKeys } from '../trust/load-keys.ts';
import { resealAll } from '../trust/reseal.ts';
import { keysDir, orFailed } from './keys.ts';
import { readSettings } from './read-settings.ts';

const help = `
Seals every credential in the database anew, while hubs and probes go on. On the hub's machine, in this order:

  1. make the new secret:            openssl rand -base64 32
  2. every hub learns it first:      PARALLAX_SECRET=old  PARALLAX_SECRET_ALSO=new   restart one after the other
  3. then every hub seals with it:   PARALLAX_SECRET=new  PARALLAX_SECRET_ALSO=old   restart one after the other
  4. with those of step 3:           parallax secret rotate
  5. every hub forgets the old one:  PARALLAX_SECRET=new                             restart one after the other

With one hub, step 2 can be left out. Interrupted, run it again: it goes on where it was. Backups from before still
need the old secret: keep it as long as you keep them.

Needs DATABASE_URL, PARALLAX_KEYS, PARALLAX_SECRET (new) and PARALLAX_SECRET_ALSO (old).`;

interface RotateFlags {
  readonly dryRun?: boolean;
  readonly json?: true;
}

export function secretCommand(context: CliContext): Command {
  const { terminal, env, cwd, signal } = context;
  const rotate = new Command('rotate')
    .description('seal every credential with the new PARALLAX_SECRET')
    .option('--dry-run', 'tell what would be sealed anew, change nothing')
    .option('--json', 'print one JSON object with the sums')
    .addHelpText('after', help)
    .action(async ({ dryRun = false, json }: RotateFlags) => {
      const { databaseUrl, secret, alsoSecrets } = readSettings(() => readBoth(env));
      const keys = await orFailed(readHubKeys(keysDir({ env, cwd })));
      const db = openDatabase({ url: databaseUrl, maxConnections: 2, applicationName: 'parallax-secret' });
      try {
        await reachDatabase(db, { url: databaseUrl, say: (line) => terminal.err(`${line}\n`), signal });
        await requireCurrentSchema(db, await readMigrations(migrationsDir()));
        await orFailed(checkKeys(db, keys));
        if (!dryRun) await requireAllSealWith(db, secret);
        let told = 0;
        const done = await resealAll({
          db,
          keys,
          secret,
          also: alsoSecrets,
          dryRun,
          signal,
          onProgress({ looked, changed }) {
            if (looked - told < 1000) return;
            told = looked;
            terminal.err(`${looked} rows looked at, ${changed} sealed anew\n`);
          },
        });
        if (json) terminal.out(jsonLine({ ...done, dryRun }));
        else {
          const did = dryRun ? 'would be sealed anew' : 'sealed anew';
          terminal.out(`${done.changed} of ${done.looked} rows with credentials ${did}\n`);
        }
        if (done.untrusted.length > 0) {
          terminal.err(
            `left as they are, because the hub did not write them: ${shortened(done.untrusted)}\n`,
          );
        }
        if (done.lost.length > 0) {
          throw new Failed(
            `no secret given opens the credentials of ${shortened(done.lost)}: name the one they were sealed with in PARALLAX_SECRET_ALSO too, or give those credentials again; until then keep the old secret`,
          );
        }
        if (!dryRun && !json) {
          terminal.out('PARALLAX_SECRET_ALSO is needed no more: take it from every hub (step 5 of --help)\n');
        }
      } finally {
        await db.end();
      }
    });
  return new Command('secret').description('change PARALLAX_SECRET').addCommand(rotate);
}

/** A hub that still seals with the old secret would write behind us what nobody opens later. */
async function requireAllSealWith(db: Database, secret: Uint8Array): Promise<void> {
  const mark = secretMark(secret);
  const others = (await listReplicas(db)).filter(({ seenSecondsAgo, report }) => {
    const { sealsWith } = replicaReportSchema.safeParse(report).data ?? {};
    return seenSecondsAgo < 30 && sealsWith !== mark;
  });
  if (others.length === 0) return;
  const named = shortened(others.map(({ host, pid }) => `${host} (process ${pid})`));
  throw new Failed(`${named} still seals with another secret: restart it as in step 3 of --help first`);
}

function shortened(names: readonly string[]): string {
  return names.length <= 5
    ? names.join(', ')
    : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
}

function readBoth(env: CliContext['env']) {
  const settings = createSettings(env, readText);
  const { databaseUrl } = readStore(settings);
  const { secret, alsoSecrets }: Secrets = readSecrets(settings);
  settings.settle();
  if (databaseUrl === undefined || secret === undefined) throw new Error('settle() let something pass');
  return { databaseUrl, secret, alsoSecrets };
}
