import { Command } from 'commander';
import { type CliContext, jsonLine } from '../../shared/command-line.ts';
import { readPublicOrigin } from '../read-config.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { createSignInLink, signInLinkSeconds } from '../trust/sign-in.ts';
import { connectHub } from './hub-client.ts';
import { asHub, helpsItself } from './own-database.ts';
import { readSettings } from './read-settings.ts';

const help = `
Whoever opens the link first signs in as an admin; it works once, for 15 minutes.

Examples:
  parallax sign-in                                       beside npm start, or with PARALLAX_HUB and PARALLAX_TOKEN
  DATABASE_URL=… PARALLAX_KEYS=… PARALLAX_PUBLIC_URL=… parallax sign-in
                                                         on the hub's machine, where nobody has a token any more`;

export function signInCommand(context: CliContext): Command {
  const { terminal } = context;
  return new Command('sign-in')
    .description('make a one-time sign-in link for the dashboard')
    .option('--json', 'print one JSON object with the link and how long it is good')
    .addHelpText('after', help)
    .action(async ({ json }: { json?: true }) => {
      const url = helpsItself(context) ? await fromDatabase(context) : await fromHub(context);
      terminal.out(json ? jsonLine({ url, ttlSeconds: signInLinkSeconds }) : `${url}\n`);
    });
}

async function fromHub({ env, cwd, signal }: CliContext): Promise<string> {
  const hub = await connectHub(env, cwd, signal);
  return (await hub.send<{ url: string }>('POST', '/api/v1/sign-in-links')).url;
}

/** Who holds the hub's keys and may write to its database may make a link: that is how an operator comes back in. */
async function fromDatabase(context: CliContext): Promise<string> {
  const publicUrl = readSettings(() => readPublicOrigin(context.env));
  return asHub(context, 'parallax-sign-in', async (sql, keys) => {
    await insertAudit(sql, {
      actor: 'command line',
      action: 'sign_in_link.create',
      subject: 'sign-in link',
    });
    return createSignInLink(sql, keys, publicUrl);
  });
}
