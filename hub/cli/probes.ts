import { Command, Option } from 'commander';
import { type CliContext, jsonLine, paint, printable, table, UsageError } from '../../shared/command-line.ts';
import { formatBytes, formatDuration } from '../../shared/duration.ts';
import { ago } from './ages.ts';
import { connectHub, type HubClient } from './hub-client.ts';
import { everyPage } from './pages.ts';
import { compareCommand } from './probes-compare.ts';

interface Probe {
  readonly id: number;
  readonly name: string;
  readonly region: string;
  readonly status: 'pending' | 'active' | 'revoked';
  readonly trusted: boolean;
  readonly createdAt: string;
  readonly seenAt: string | null;
  readonly leaseExpiresAt: string | null;
  readonly spoolBytes: number | null;
  readonly dropped: number | null;
  readonly capacity: number | null;
  readonly noiseUs: number | null;
  readonly version: string | null;
  readonly refusedFrom: string | null;
  readonly network: {
    readonly state: 'ok' | 'doubtful' | 'gone';
    readonly since: string;
    readonly why: string;
  } | null;
  readonly clockOffsetUs: number | null;
}

const help = `
  $ parallax probes list --status pending
  $ parallax probes list --region eu-west --json
  $ parallax probes approve 7
  $ parallax probes compare fra-1 fra-2 --since 1d
  $ parallax probes revoke 7 --reason 'the host was sold'

What is revoked stays so: a probe whose host is good again enrolls anew (parallax enroll).`;

export function probesCommand(context: CliContext): Command {
  const connect = () => connectHub(context.env, context.cwd, context.signal);
  return new Command('probes')
    .description('list, compare, approve or revoke probes')
    .addHelpText('after', help)
    .addCommand(listCommand(context, connect))
    .addCommand(changeCommand(context, connect, 'approve').description('let a probe work that waits for it'))
    .addCommand(
      changeCommand(context, connect, 'revoke')
        .description('stop a probe for good: it wipes its cache, and what it sends is refused')
        .option('--reason TEXT', 'for the probe and the audit log'),
    )
    .addCommand(compareCommand(context, connect));
}

function listCommand({ terminal }: CliContext, connect: () => Promise<HubClient>): Command {
  return new Command('list')
    .description('list probes, newest first')
    .option('--region R', 'of this region only')
    .addOption(new Option('--status S', 'of this status only').choices(['pending', 'active', 'revoked']))
    .option('--json', 'one JSON object a line')
    .action(async ({ json, ...query }: { json?: boolean; region?: string; status?: string }) => {
      const probes = await everyPage<'probes', Probe>(await connect(), '/api/v1/probes', 'probes', query);
      if (json) return terminal.out(probes.map(jsonLine).join(''));
      const now = Date.now();
      const head = [
        'ID',
        'NAME',
        'REGION',
        'STATUS',
        'SEEN',
        'LEASE',
        'SPOOL',
        'DROPPED',
        'NOISE',
        'NETWORK',
        'CLOCK',
        'VERSION',
      ];
      const rows = probes.map((probe) => row(probe, now));
      const statusAt = head.indexOf('STATUS');
      terminal.out(
        table(terminal, head, rows, (cell, column) =>
          column === statusAt ? paint(terminal, colours[cell.trim()] ?? 'red', cell) : cell,
        ),
      );
      for (const { id, name, version, refusedFrom } of probes.filter(isTooOld)) {
        const from =
          Date.parse(refusedFrom ?? '') > now
            ? `is refused from ${refusedFrom?.slice(0, 10)} on`
            : 'is refused';
        terminal.out(
          `\n${id} (${printable(name)}): version ${printable(version ?? '')} is too old for this hub and ${from}: update it\n`,
        );
      }
      for (const { id, name, network } of probes.filter(isTroubled)) {
        terminal.out(
          `\n${id} (${printable(name)}): network ${network?.state} for ${since(network?.since, now)}: ${printable(network?.why ?? '')}\n`,
        );
      }
    });
}

function isTooOld({ status, refusedFrom }: Probe): boolean {
  return status !== 'revoked' && refusedFrom !== null;
}

function isTroubled({ status, network }: Probe): boolean {
  return status === 'active' && network !== null && network.state !== 'ok';
}

function since(instant: string | undefined, now: number): string {
  return instant === undefined ? 'long' : ago(instant, now).replace(/ ago$/, '');
}

const colours: Readonly<Record<string, 'green' | 'yellow' | 'dim'>> = {
  active: 'green',
  pending: 'yellow',
  revoked: 'dim',
};

function row(probe: Probe, now: number): string[] {
  const { leaseExpiresAt, status, spoolBytes, noiseUs, dropped } = probe;
  const leaseLeft =
    leaseExpiresAt === null || status === 'revoked'
      ? ''
      : Date.parse(leaseExpiresAt) > now
        ? 'held'
        : 'ended';
  return [
    String(probe.id),
    probe.name,
    probe.region,
    probe.trusted ? probe.status : 'untrusted',
    ago(probe.seenAt, now),
    leaseLeft,
    spoolBytes === null
      ? ''
      : formatBytes(spoolBytes < 1024 ? spoolBytes : Math.round(spoolBytes / 1024) * 1024),
    dropped === null ? '' : String(dropped),
    noiseUs === null ? '' : `${(noiseUs / 1000).toFixed(1)}ms`,
    probe.network?.state ?? '',
    probe.clockOffsetUs === null ? '' : clockWords(probe.clockOffsetUs),
    probe.refusedFrom === null ? (probe.version ?? '') : `${probe.version} (too old)`,
  ];
}

/** Slots run on hub time: an offset costs nothing but the reading of its own log. */
function clockWords(offsetUs: number): string {
  const ms = offsetUs / 1000;
  if (Math.abs(ms) <= 1000) return 'ok';
  const length = formatDuration(Math.round(Math.abs(ms) / 1000) * 1000);
  return `${length} ${ms > 0 ? 'ahead' : 'behind'}`;
}

function changeCommand(
  { terminal }: CliContext,
  connect: () => Promise<HubClient>,
  action: 'approve' | 'revoke',
): Command {
  return new Command(action)
    .argument('<id>', 'as `parallax probes list` shows it')
    .option('--json', 'print the probe as it is now')
    .action(async (id: string, { json, reason }: { json?: boolean; reason?: string }) => {
      if (!/^[1-9]\d{0,15}$/.test(id))
        throw new UsageError(`'${id}' is not the id of a probe: see parallax probes list`);
      const body = action === 'revoke' && reason !== undefined ? { reason } : undefined;
      const probe = await (await connect()).send<Probe>('POST', `/api/v1/probes/${id}/${action}`, body);
      const done = action === 'approve' ? 'works from now on' : 'is revoked';
      terminal.out(json ? jsonLine(probe) : `probe ${probe.id} (${probe.name}, ${probe.region}) ${done}\n`);
    });
}
