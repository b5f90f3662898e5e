import { Command } from 'commander';
import {
  type CliContext,
  Failed,
  jsonLine,
  paint,
  type Terminal,
  table,
  UsageError,
} from '../../shared/command-line.ts';
import { createHubLog } from '../hub-log.ts';
import { kafkaReason } from '../ingest/kafka-client.ts';
import { type LogRepair, lookAtLog, repairLog } from '../ingest/log-repair.ts';
import { isBroken, type RepairLine } from '../ingest/progress-repair.ts';
import { KafkaRefusal, topicNames } from '../ingest/topics.ts';
import { readStoreConfig } from '../read-store-config.ts';
import { openDatabase } from '../store/database.ts';
import { requireCurrentSchema } from '../store/migrate.ts';
import { migrationsDir, readMigrations } from '../store/migrations.ts';
import { reachDatabase } from '../store/reach-database.ts';
import { readKafkaCommand } from './read-settings.ts';

const help = `
For a hub that refuses to read: its topic was deleted and made anew, lost its end, or the cluster was replaced. Reads
DATABASE_URL and KAFKA_* as the hub does, and compares where the hub stands in the log with the log that is there.

Examples:
  parallax kafka repair          shows what is wrong, and what would be done; changes nothing
  parallax kafka repair --yes    does it, in one transaction, with a line in the audit log

Stop every hub with the role ingest first. What is repaired is read from the log's beginning: what is stored already is
recognised, and nothing is doubled. Nothing is lost by the repair. What the lost log held and nobody had read is sent
again by the probes, which keep everything until it is in the database; only what a probe had to drop since, because
its spool was full, is missing, and a gap record says so; and a probe that is gone for good sends nothing any more.

The exit code is 1 while something is wrong.`;

interface RepairFlags {
  readonly topic?: string;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

export function kafkaRepairCommand(context: CliContext): Command {
  return new Command('repair')
    .description('make the place in the log fit the log that is there: shows what is wrong first')
    .option('--topic NAME', 'another topic than the one of results')
    .option('--dry-run', 'only show it (the default)')
    .option('--yes', 'do it')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', help)
    .action((flags: RepairFlags) => repair(context, flags));
}

async function repair({ env, terminal, signal }: CliContext, flags: RepairFlags): Promise<void> {
  if (flags.yes && flags.dryRun)
    throw new UsageError('--yes does it and --dry-run does not: take one of them');
  const { kafka, environment, databaseUrl: url } = readKafkaCommand(() => readStoreConfig(env));
  const topic = flags.topic ?? topicNames(environment).results;
  const db = openDatabase({ url, maxConnections: 2, applicationName: 'parallax-kafka-repair' });
  try {
    await reachDatabase(db, { url, say: (line) => terminal.err(`${line}\n`), signal });
    await requireCurrentSchema(db, await readMigrations(migrationsDir()));
    const where = `Kafka at ${kafka.brokers.join(', ')}`;
    const log = createHubLog('silent', terminal.err);
    const found = await lookAtLog(kafka, { topic, db, log }).catch((error: unknown) => {
      throw new Failed(`${where}: ${error instanceof KafkaRefusal ? error.message : kafkaReason(error)}`, {
        cause: error,
      });
    });
    const broken = found.lines.filter(isBroken);
    if (flags.json) terminal.out(found.lines.map((line) => jsonLine(jsonOf(line, topic))).join(''));
    else
      terminal.out(`${topic} on ${where}, cluster ${found.clusterId}\n\n${lineTable(terminal, found.lines)}`);
    if (broken.length === 0) {
      if (!flags.json) terminal.out('\nnothing is wrong: there is nothing to repair\n');
      return;
    }
    if (!flags.yes) throw new Failed(advice(found, broken));
    if (found.members.length > 0) throw new Failed(runningText(found));
    if (!(await repairLog(db, found))) {
      throw new Failed(
        'the place in the log has moved meanwhile: somebody reads. Nothing was changed; look again',
      );
    }
    if (!flags.json) terminal.out(`\nrepaired: ${countOf(broken)}; start the hubs\n`);
  } finally {
    await db.end();
  }
}

function advice(found: LogRepair, broken: readonly RepairLine[]): string {
  const stop = found.members.length > 0 ? `; ${runningText(found)}` : '';
  return `${countOf(broken)} to be repaired: with --yes it is done${stop}`;
}

function runningText({ members }: LogRepair): string {
  const who = members.map(({ clientId, host }) => `${clientId} at ${host}`).join(', ');
  return `stop the hubs that read first (${who}); one that was killed is forgotten after 10 s`;
}

function countOf(lines: readonly RepairLine[]): string {
  const partitions = new Set(lines.map(({ partition }) => partition)).size;
  return partitions === 1 ? '1 partition' : `${partitions} partitions`;
}

const colours = { good: 'green', 'not read yet': 'dim', 'retention passed it': 'yellow' } as const;

function lineTable(terminal: Terminal, lines: readonly RepairLine[]): string {
  const head = ['PARTITION', 'STANDS AT', 'LOG HAS', 'FOUND', 'REPAIR'];
  const rows = lines.map((line) => {
    const { partition, nextOffset, ends, found } = line;
    const has = ends ? `${ends.low} to ${ends.high}` : '-';
    return [String(partition), nextOffset === null ? '-' : String(nextOffset), has, found, todoText(line)];
  });
  return table({ ...terminal, columns: null }, head, rows, (cell, column, row) => {
    const found = lines[row]?.found;
    if (column !== 3 || found === undefined) return cell;
    return paint(terminal, found in colours ? colours[found as keyof typeof colours] : 'red', cell);
  });
}

function todoText({ todo, clusterId, found }: RepairLine): string {
  if (todo.what === 'read') return `read from ${todo.to}`;
  if (todo.what === 'forget')
    return found === 'another cluster' ? `forget it (cluster ${clusterId})` : 'forget it';
  return found === 'retention passed it' ? 'none: the hub passes over it by itself, and says so' : '';
}

function jsonOf({ clusterId, partition, found, nextOffset, ends, todo }: RepairLine, topic: string): object {
  return {
    topic,
    clusterId,
    partition,
    found,
    nextOffset,
    low: ends?.low ?? null,
    high: ends?.high ?? null,
    todo: todo.what,
    ...(todo.what === 'read' && { to: todo.to }),
  };
}
