import { Command } from 'commander';
import { type CliContext, jsonLine } from '../../shared/command-line.ts';
import { readPublicOrigin } from '../read-config.ts';
import { readStoreConfig } from '../read-store-config.ts';
import { openDatabase } from '../store/database.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { reachDatabase } from '../store/reach-database.ts';
import { checkKeys } from '../trust/check-keys.ts';
import { readHubKeys } from '../trust/load-keys.ts';
import { createSignInLink, signInLinkSeconds } from '../trust/sign-in.ts';
import { connectHub } from './hub-client.ts';
import { keysDir, orFailed } from './keys.ts';
import { readSettings } from './read-settings.ts';

const help = `
Whoever opens the link first signs in as an admin; it works once, for 15 minutes.

Examples:
  parallax sign-in                                       beside npm start, or with PARALLAX_HUB and PARALLAX_TOKEN
  DATABASE_URL=… PARALLAX_KEYS=… PARALLAX_PUBLIC_URL=… parallax sign-in
                                                         on the hub's machine, where nobody has a token any more`;

export function signInCommand(context: CliContext): Command {
  const { terminal, env } = context;
  return new Command('sign-in')
    .description('make a one-time sign-in link for the dashboard')
    .option('--json', 'print one JSON object with the link and how long it is good')
    .addHelpText('after', help)
    .action(async ({ json }: { json?: true }) => {
      const helpsItself = !env.PARALLAX_TOKEN && (env.DATABASE_URL || env.DATABASE_URL_FILE);
      const url = helpsItself ? await fromDatabase(context) : await fromHub(context);
      terminal.out(json ? jsonLine({ url, ttlSeconds: signInLinkSeconds }) : `${url}\n`);
    });
}

async function fromHub({ env, cwd, signal }: CliContext): Promise<string> {
  const hub = await connectHub(env, cwd, signal);
  return (await hub.send<{ url: string }>('POST', '/api/v1/sign-in-links')).url;
}

/** Who holds the hub's keys and may write to its database may make a link: that is how an operator comes back in. */
async function fromDatabase({ env, cwd, terminal, signal }: CliContext): Promise<string> {
  const { databaseUrl, publicUrl } = readSettings(() => ({
    databaseUrl: readStoreConfig(env).databaseUrl,
    publicUrl: readPublicOrigin(env),
  }));
  const keys = await orFailed(readHubKeys(keysDir({ env, cwd })));
  const db = openDatabase({ url: databaseUrl, maxConnections: 1, applicationName: 'parallax-sign-in' });
  try {
    await reachDatabase(db, { url: databaseUrl, say: (line) => terminal.err(`${line}\n`), signal });
    await orFailed(checkKeys(db, keys));
    return await db.transaction(async (sql) => {
      await insertAudit(sql, {
        actor: 'command line',
        action: 'sign_in_link.create',
        subject: 'sign-in link',
      });
      return createSignInLink(sql, keys, publicUrl);
    });
  } finally {
    await db.end();
  }
}
