import { Problem } from '../problem.ts';
import type { Database, Sql } from '../store/database.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';
import { findEndpoint, findEndpointsByName } from '../store/find-endpoints.ts';
import { lockEndpoints } from '../store/lock-endpoints.ts';
import { takeEndpointIds } from '../store/write-endpoints.ts';
import type { HubKeys } from '../trust/keys.ts';
import { createSecretBox } from '../trust/sealed-secrets.ts';
import { mergePatch } from './merge-patch.ts';
import { type Plan, type PlanOptions, planApply, secretAgain } from './plan-apply.ts';
import { invalid, type ReadDocument, readDocument, readDocuments } from './read-documents.ts';
import { changeOf, createSteps, type EndpointChange } from './step.ts';
import { writeSteps } from './write-steps.ts';
import { requireRegions, requireRegionsOf, type Writer } from './writer.ts';

export interface ApplyRequest extends Omit<PlanOptions, 'at'> {
  readonly endpoints: readonly unknown[];
}

export interface Applied {
  readonly changes: readonly EndpointChange[];
  readonly unchanged: number;
}

export interface EndpointWriter {
  /** All of it in one transaction, or nothing. Equal content is no change. */
  apply(request: ApplyRequest, writer: Writer): Promise<Applied>;
  create(document: unknown, source: string, writer: Writer): Promise<EndpointRow>;
  /** `rev`: the one it must still have; null for any. */
  replace(id: number, rev: number | null, document: unknown, writer: Writer): Promise<EndpointRow>;
  /** RFC 7396 over the document as it is shown. */
  patch(id: number, rev: number | null, patch: unknown, writer: Writer): Promise<EndpointRow>;
  remove(id: number, rev: number | null, writer: Writer): Promise<void>;
}

/** Every change of an endpoint goes through here: sealed, signed, counted, audited and told, in one transaction. */
export function createEndpointWriter(options: {
  readonly db: Database;
  readonly keys: Pick<HubKeys, 'hmac'>;
  /** PARALLAX_SECRET, 32 bytes. */
  readonly secret: Uint8Array;
  /** PARALLAX_SECRET_ALSO. */
  readonly alsoSecrets?: readonly Uint8Array[] | undefined;
  /** How long a writer waits for those before it. */
  readonly patienceMs?: number;
}): EndpointWriter {
  const { db, keys, patienceMs = 15_000 } = options;
  const steps = createSteps(keys, createSecretBox(options.secret, options.alsoSecrets));

  /** Runs alone among writers. `at` is the instant of all it changes. */
  async function writing<T>(work: (sql: Sql, at: number) => Promise<T>): Promise<T> {
    return db.transaction(async (sql) => work(sql, await lock(sql, patienceMs)));
  }

  async function one(
    read: ReadDocument,
    found: EndpointRow | null,
    sql: Sql,
    at: number,
    source: string,
    writer: Writer,
  ) {
    if (found?.name !== read.name) await requireFreeName(sql, read.name);
    const [id = 0] = found ? [found.id] : await takeEndpointIds(sql, 1);
    const step = steps.next(read, found, { id, source, at });
    if (step === 'unchanged') return found ?? unreachable();
    if ('problems' in step) throw invalid(step.problems, secretAgain);
    requireRegions(writer, step);
    await writeSteps(sql, [step], writer);
    return step.after;
  }

  /** Before anything of it is told: also that nothing would change shows all of it. */
  async function current(
    sql: Sql,
    id: number,
    rev: number | null,
    { regions }: Writer,
  ): Promise<EndpointRow> {
    const row = await findEndpoint(sql, id);
    if (!row) throw new Problem(404, 'endpoint.unknown', `there is no endpoint ${id}`);
    requireRegionsOf(regions, row);
    if (rev === null || rev === row.rev) return row;
    throw new Problem(
      412,
      'endpoint.stale',
      `it is at rev ${row.rev} by now: read it again and repeat your change`,
    );
  }

  return {
    async apply({ source, prune, dryRun, endpoints }, writer) {
      const read = await readDocuments(endpoints);
      const plan = (sql: Sql, at: number) => planApply(sql, steps, read, { source, prune, dryRun, at });
      const applied = ({ steps: planned, unchanged }: Plan): Applied => {
        for (const step of planned) requireRegions(writer, step);
        return { changes: planned.map((step) => changeOf(step, dryRun)), unchanged };
      };
      if (dryRun) return applied(await db.transaction((sql) => plan(sql, 0)));
      return writing(async (sql, at) => {
        const planned = await plan(sql, at);
        const answer = applied(planned);
        await writeSteps(sql, planned.steps, writer);
        return answer;
      });
    },
    async create(document, source, writer) {
      const read = readOne(document);
      return writing((sql, at) => one(read, null, sql, at, source, writer));
    },
    async replace(id, rev, document, writer) {
      const read = readOne(document);
      return writing(async (sql, at) => {
        const found = await current(sql, id, rev, writer);
        return one(read, found, sql, at, found.source, writer);
      });
    },
    patch: (id, rev, patch, writer) =>
      writing(async (sql, at) => {
        const found = await current(sql, id, rev, writer);
        const before = steps.trusted(found);
        if (!before) {
          throw new Problem(
            409,
            'endpoint.untrusted',
            'its row was not written by the hub: replace it whole (PUT)',
          );
        }
        return one(readOne(mergePatch(before.spec, patch)), found, sql, at, found.source, writer);
      }),
    remove: (id, rev, writer) =>
      writing(async (sql, at) => {
        const step = steps.removal(await current(sql, id, rev, writer), at);
        requireRegions(writer, step);
        await writeSteps(sql, [step], writer);
      }),
  };
}

async function lock(sql: Sql, patienceMs: number): Promise<number> {
  try {
    return await lockEndpoints(sql, patienceMs);
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error;
    throw new Problem(503, 'endpoint.busy', 'others are writing endpoints: try again in a moment', {
      headers: { 'retry-after': '2' },
      cause: error,
    });
  }
}

function readOne(document: unknown): ReadDocument {
  const read = readDocument(document);
  if (read.renamedFrom === undefined) return read;
  const message = 'is for `parallax endpoints apply`: here, replace or patch the endpoint with another name';
  throw invalid([{ path: ['renamedFrom'], message }]);
}

async function requireFreeName(sql: Sql, name: string): Promise<void> {
  const [taken] = await findEndpointsByName(sql, [name]);
  if (taken) {
    throw new Problem(409, 'endpoint.name_taken', `'${name}' is the name of endpoint ${taken.id} already`);
  }
}

function unreachable(): never {
  throw new Error('what does not exist cannot be unchanged');
}
