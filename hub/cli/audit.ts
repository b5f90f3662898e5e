import { Command } from 'commander';
import { type CliContext, jsonLine, table, UsageError } from '../../shared/command-line.ts';
import { connectHub } from './hub-client.ts';

interface Entry {
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly remoteIp: string | null;
}

interface Page {
  readonly entries: readonly Entry[];
  readonly cursor: string | null;
}

export function auditCommand({ terminal, env, cwd, signal }: CliContext): Command {
  return new Command('audit')
    .description('show who changed what, newest first')
    .option('--limit N', 'how many entries', '50')
    .option('--json', 'one JSON object a line, with what stood there before and after')
    .addHelpText(
      'after',
      `
Examples:
  parallax audit
  parallax audit --limit 10000 --json | jq 'select(.action == "probe.revoke")'`,
    )
    .action(async ({ json, limit }: { json?: true; limit: string }) => {
      if (!/^[1-9]\d{0,6}$/.test(limit)) throw new UsageError(`--limit ${limit}: a whole number from 1 on`);
      const hub = await connectHub(env, cwd, signal);
      let left = Number(limit);
      let cursor: string | undefined;
      const shown: Entry[] = [];
      while (left > 0) {
        const page: Page = await hub.get('/api/v1/audit', { limit: Math.min(left, 1000), cursor });
        if (json) terminal.out(page.entries.map(jsonLine).join(''));
        else shown.push(...page.entries);
        left -= page.entries.length;
        if (page.cursor === null) break;
        cursor = page.cursor;
      }
      if (json) return;
      const rows = shown.map(({ at, actor, action, subject, remoteIp }) => [
        at.slice(0, 19).replace('T', ' '),
        actor,
        action,
        subject,
        remoteIp ?? '',
      ]);
      terminal.out(table(terminal, ['WHEN (UTC)', 'WHO', 'DID', 'TO', 'FROM'], rows));
    });
}
