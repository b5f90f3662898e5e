import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import * as z from 'zod';
import { type CliContext, Failed, UsageError } from '../../shared/command-line.ts';
import { examine, fail, type Look, ok, warn } from '../../shared/doctor.ts';
import type { ProbeConfig } from '../config.ts';
import { lookAtDisk, lookAtFileLimit, lookAtIpv6, lookAtPing, lookAtProcessor } from '../doctor/machine.ts';
import { lookAtHub, lookAtKafka, lookAtNames } from '../doctor/way-to-hub.ts';
import { readToken } from '../hub/enroll.ts';
import { readAuthority } from '../hub/open-hub-link.ts';
import { version } from '../version.ts';
import { readConfig } from './probe.ts';
import { addProbeSettings, givenSettings, type ProbeFlags } from './probe-settings.ts';

export function doctorCommand(context: CliContext): Command {
  const command = new Command('doctor')
    .description('whether a probe would be well here, and what to do where not (a hub: parallax doctor hub)')
    .option('--config FILE', "a YAML file of the probe's settings")
    .option('--json', 'one JSON object a line');
  return addProbeSettings(command)
    .addHelpText(
      'after',
      `
Takes what \`parallax probe\` takes. It asks nobody but the hub, its brokers and the machine's resolver, and changes nothing.
Exit codes: 0 sound (! is worth knowing), 1 something keeps a probe from working (x).

Examples:
  parallax doctor --hub https://hub.example
  parallax doctor --data /var/lib/parallax --json`,
    )
    .action(async (flags: ProbeFlags & { readonly json?: true }) => {
      const config = readConfig(givenSettings(flags, context), false, context);
      const looks = await looksOf(config);
      if (!(await examine(context.terminal, looks, flags.json ?? false))) throw new Failed('');
    });
}

async function looksOf(config: ProbeConfig): Promise<readonly Look[]> {
  const hub = await hubOf(config);
  const ca = config.hubCaFile === null ? null : await readAuthority(config.hubCaFile);
  const way = hub === null ? null : { hub, ca, env: config.env };
  const brokers = await brokersOf(config.dataDir);
  return [
    async () => [ok('version', `Parallax ${version} on ${process.release.name} ${process.version}`)],
    () => lookAtDisk(config.dataDir, config.spoolMaxBytes),
    () => lookAtFileLimit(config.workers),
    lookAtProcessor,
    lookAtPing,
    lookAtIpv6,
    ...(way
      ? [() => lookAtNames(way), () => lookAtHub(way)]
      : [
          async () => [
            fail(
              'hub',
              'it is not known where the hub is',
              'give --hub URL, a token, or the --data folder of a probe that enrolled',
            ),
          ],
        ]),
    ...(brokers.length > 0 ? [() => lookAtKafka(brokers)] : []),
    async () =>
      brokers.length === 0 && config.delivery === 'kafka'
        ? [
            warn(
              'Kafka',
              'no lease has named brokers yet',
              'start the probe once: the hub tells it where they are',
            ),
          ]
        : [],
  ];
}

const identitySchema = z.object({ hub: z.url() });

/** As the probe would find it; without locking the folder of one that runs. */
async function hubOf({ hub, token, dataDir }: ProbeConfig): Promise<string | null> {
  if (hub !== null) return hub;
  const known = await readJson(join(dataDir, 'identity.json'), identitySchema);
  if (known) return known.hub;
  if (token === null) return null;
  const text = 'text' in token ? token.text : await readFile(token.file, 'utf8').catch(() => null);
  if (text === null) throw new UsageError('--token-file: the file cannot be read');
  return readToken(text.trim()).iss;
}

const leaseSchema = z.object({ lease: z.string() });
const brokersSchema = z.object({ kafka: z.object({ brokers: z.array(z.string()) }).nullable() });

/** From the lease kept there. Unverified: it is only looked whether somebody listens there. */
async function brokersOf(dataDir: string): Promise<readonly string[]> {
  const kept = await readJson(join(dataDir, 'lease.json'), leaseSchema);
  const [, payload = ''] = kept?.lease.split('.') ?? [];
  try {
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    return brokersSchema.parse(claims).kafka?.brokers ?? [];
  } catch {
    return [];
  }
}

async function readJson<Schema extends z.ZodType>(file: string, schema: Schema) {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8'))) as z.output<Schema>;
  } catch {
    return null;
  }
}
