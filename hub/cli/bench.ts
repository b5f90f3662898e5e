import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { stringify } from 'yaml';
import { type CliContext, UsageError } from '../../shared/command-line.ts';
import { parseBytes, parseDuration } from '../../shared/duration.ts';
import { startLoadTarget } from '../demo/load-target.ts';
import { parseListen } from '../up/listen.ts';

export function benchCommand(context: CliContext): Command {
  return new Command('bench')
    .description('make loads to measure with')
    .addCommand(targetCommand(context))
    .addCommand(endpointsCommand(context))
    .addHelpText(
      'after',
      `
Examples:
  parallax bench target --listen 127.0.0.1:8080
  parallax bench endpoints --count 10000 --url http://127.0.0.1:8080/{n} --interval 20s > load.yaml
  npm start -- --endpoints load.yaml --allow-network 127.0.0.1/32:8080

In a checkout, \`npm run bench -- check|schedule\` measures Parallax itself, beside its peer and its limits.`,
    );
}

interface TargetFlags {
  readonly listen: string;
  readonly tls?: true;
  readonly body: string;
  readonly delay: string;
  readonly failing: string;
  readonly caFile?: string;
}

function targetCommand({ terminal, signal }: CliContext): Command {
  return new Command('target')
    .description('a site to try loads on, until Ctrl-C')
    .option('--listen ADDRESS', 'where it listens', '127.0.0.1:8080')
    .option('--tls', 'speak HTTPS, with a certificate from an authority of its own')
    .option('--ca-file FILE', "where to write that authority's certificate (PEM)")
    .option('--body SIZE', 'bytes of each body', '512B')
    .option('--delay DURATION', 'wait before each answer', '0ms')
    .option('--failing SHARE', 'share of answers that are 503, 0 to 1', '0')
    .action(async (flags: TargetFlags) => {
      const listen = parseListen(flags.listen);
      const bodyBytes = parseBytes(flags.body);
      const delayMs = parseDuration(flags.delay);
      const failing = Number(flags.failing);
      if (!listen) throw new UsageError(`--listen ${flags.listen}: write it as 127.0.0.1:8080`);
      if (bodyBytes === null || bodyBytes > 64 * 1_048_576)
        throw new UsageError(`--body ${flags.body}: write it as 512B, 64KiB or 1MiB, 64MiB at most`);
      if (delayMs === null) throw new UsageError(`--delay ${flags.delay}: write it as 50ms or 2s`);
      if (!(failing >= 0 && failing <= 1)) throw new UsageError(`--failing ${flags.failing}: from 0 to 1`);
      const tls = flags.tls ?? false;
      const target = await startLoadTarget({
        ...listen,
        tls,
        bodyBytes,
        delayMs,
        failing,
        random: Math.random,
      });
      if (target.ca !== null && flags.caFile !== undefined) await writeFile(flags.caFile, target.ca);
      terminal.out(`${target.url} answers until Ctrl-C\n`);
      await new Promise<void>((done) => {
        if (signal.aborted) done();
        signal.addEventListener('abort', () => done(), { once: true });
      });
      await target.close();
      terminal.out(`${target.answered()} answers given\n`);
    });
}

interface EndpointsFlags {
  readonly count: string;
  readonly url: string;
  readonly interval: string;
  readonly tag: string;
}

function endpointsCommand({ terminal }: CliContext): Command {
  return new Command('endpoints')
    .description('print an endpoint file of any size')
    .requiredOption('--count N', 'how many endpoints')
    .option('--url URL', 'what they check; {n} stands for the number', 'http://127.0.0.1:8080/{n}')
    .option('--interval DURATION', 'how often each', '30s')
    .option('--tag NAME:VALUE', 'a tag for all of them', 'load:bench')
    .action((flags: EndpointsFlags) => {
      const count = Number(flags.count);
      if (!Number.isInteger(count) || count < 1 || count > 1_000_000)
        throw new UsageError(`--count ${flags.count}: a whole number from 1 to 1000000`);
      if (parseDuration(flags.interval) === null)
        throw new UsageError(`--interval ${flags.interval}: write it as 30s or 5m`);
      const [tag = 'load', value = 'bench'] = flags.tag.split(':');
      terminal.out('endpoints:\n');
      // In parts, so that a million of them do not stand in memory at once.
      for (let from = 1; from <= count; from += 1000) {
        const part = Array.from({ length: Math.min(1000, count - from + 1) }, (_, index) => ({
          name: `load-${String(from + index).padStart(7, '0')}`,
          url: flags.url.replaceAll('{n}', String(from + index)),
          interval: flags.interval,
          tags: { [tag]: value },
        }));
        terminal.out(`${stringify(part, { indent: 2 }).replace(/^/gm, '  ').trimEnd()}\n`);
      }
    });
}
