import { setImmediate as breathe } from 'node:timers/promises';
import { canonicalJson } from '../../shared/assignment.ts';
import type { DocumentPath, DocumentProblem } from '../../shared/document-problem.ts';
import type { EndpointDocument } from '../../shared/endpoint.ts';
import { Problem } from '../problem.ts';
import { tellChange } from '../store/changes.ts';
import type { Database, Sql } from '../store/database.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';
import { findEndpoint, findEndpointsBesides, findEndpointsByName } from '../store/find-endpoints.ts';
import { insertAudits } from '../store/insert-audit.ts';
import { lockEndpoints } from '../store/lock-endpoints.ts';
import {
  insertEndpointRevs,
  insertEndpoints,
  takeEndpointIds,
  updateEndpoints,
  vacateNames,
} from '../store/write-endpoints.ts';
import { endpointRowHolds, signEndpointRow } from '../trust/endpoint-rows.ts';
import type { HubKeys } from '../trust/keys.ts';
import { createSecretBox, sealDocument } from '../trust/sealed-secrets.ts';
import { diffDocuments, type FieldChange } from './document-diff.ts';
import { matchDocuments } from './match-documents.ts';
import { mergePatch } from './merge-patch.ts';
import { inList, invalid, type ReadDocument, readDocument, readDocuments } from './read-documents.ts';

/** Who writes: for the audit log, and for what it may touch. */
export interface Writer {
  readonly actor: string;
  /** The only regions it may touch; null for all. */
  readonly regions: readonly string[] | null;
  readonly remoteIp: string;
}

export interface ApplyRequest {
  readonly source: string;
  /** Delete what this source made and the list does not name. */
  readonly prune: boolean;
  /** Tell what would change, change nothing. */
  readonly dryRun: boolean;
  readonly endpoints: readonly unknown[];
}

export interface EndpointChange {
  readonly action: 'create' | 'update' | 'delete';
  /** Null for one that a dry run would make. */
  readonly id: number | null;
  readonly name: string;
  readonly rev: number;
  /** Its name before, where that changes. */
  readonly renamedFrom: string | null;
  /** What differs, for an update. */
  readonly fields: readonly FieldChange[];
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

/** One endpoint's way from what it was to what it is to be. */
interface Step {
  readonly action: EndpointChange['action'];
  /** As it is shown; null where it was not there or its row does not hold. */
  readonly before: EndpointRow | null;
  readonly after: EndpointRow;
}

const stepsABreath = 200;

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
  const box = createSecretBox(options.secret, options.alsoSecrets);
  const trusted = (row: EndpointRow | null) => (row && endpointRowHolds(keys.hmac, row) ? row : null);

  /** The row a document becomes; null where it is what is there already. */
  function next(
    read: ReadDocument,
    found: EndpointRow | null,
    made: { readonly id: number; readonly source: string; readonly at: number },
  ): Step | 'unchanged' | { readonly problems: readonly DocumentProblem[] } {
    const before = trusted(found);
    const id = found?.id ?? made.id;
    const sealing = sealDocument(box, id, read.document, before);
    if ('problems' in sealing) return sealing;
    if (before && sameContent(before, sealing)) return 'unchanged';
    const row = {
      id,
      name: read.name,
      rev: (found?.rev ?? 0) + 1,
      ...sealing,
      source: before?.source ?? made.source,
      changedAtUs: made.at,
      deleted: false,
    };
    return { action: found ? 'update' : 'create', before, after: signEndpointRow(keys.hmac, row) };
  }

  /** A row that does not hold is not signed by being deleted. */
  function removal(found: EndpointRow, at: number): Step {
    const before = trusted(found);
    const row = { ...found, rev: found.rev + 1, changedAtUs: at, deleted: true, mac: Buffer.alloc(0) };
    return { action: 'delete', before, after: before ? signEndpointRow(keys.hmac, row) : row };
  }

  async function write(sql: Sql, steps: readonly Step[], writer: Writer): Promise<void> {
    if (steps.length === 0) return;
    const created = steps.filter(({ action }) => action === 'create').map(({ after }) => after);
    const changed = steps.filter(({ action }) => action !== 'create');
    const losing = changed.filter(({ before, after }) => after.deleted || before?.name !== after.name);
    await vacateNames(
      sql,
      losing.map(({ after }) => after.id),
    );
    await updateEndpoints(
      sql,
      changed.map(({ after }) => after),
    );
    await insertEndpoints(sql, created);
    await insertEndpointRevs(
      sql,
      steps.map(({ after }) => after),
      writer.actor,
    );
    const entries = steps.map(({ action, before, after }) => ({
      actor: writer.actor,
      action: `endpoint.${action}`,
      subject: `endpoint:${after.name}`,
      before: before?.spec,
      after: action === 'delete' ? undefined : after.spec,
      remoteIp: writer.remoteIp,
    }));
    for (let from = 0; from < entries.length; from += 1000) {
      await insertAudits(sql, entries.slice(from, from + 1000));
    }
    await tellChange(sql, 'endpoints');
  }

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
    const step = next(read, found, { id, source, at });
    if (step === 'unchanged') return found ?? unreachable();
    if ('problems' in step) throw invalid(step.problems, secretAgain);
    requireRegions(writer, step);
    await write(sql, [step], writer);
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
      const plan = (sql: Sql, at: number) => planApply(sql, read, { source, prune, dryRun, at });
      const applied = ({ steps, unchanged }: Plan): Applied => {
        for (const step of steps) requireRegions(writer, step);
        return { changes: steps.map((step) => changeOf(step, dryRun)), unchanged };
      };
      if (dryRun) return applied(await db.transaction((sql) => plan(sql, 0)));
      return writing(async (sql, at) => {
        const planned = await plan(sql, at);
        const answer = applied(planned);
        await write(sql, planned.steps, writer);
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
        const before = trusted(found);
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
        const step = removal(await current(sql, id, rev, writer), at);
        requireRegions(writer, step);
        await write(sql, [step], writer);
      }),
  };

  async function planApply(
    sql: Sql,
    read: readonly ReadDocument[],
    { source, prune, dryRun, at }: Omit<ApplyRequest, 'endpoints'> & { readonly at: number },
  ): Promise<Plan> {
    const names = read.map(({ name }) => name);
    const olds = read.flatMap(({ renamedFrom = [] }) => renamedFrom);
    const existing = await findEndpointsByName(sql, [...new Set([...names, ...olds])]);
    const { matches, problems } = matchDocuments(read, existing);
    if (problems.length > 0) {
      throw invalid(problems.map(({ path, message }) => ({ path: inList(path), message })));
    }
    const missing = matches.filter((match) => match === null).length;
    const ids = dryRun ? [] : await takeEndpointIds(sql, missing);
    const steps: Step[] = [];
    const refused: { path: DocumentPath; message: string }[] = [];
    for (const [index, document] of read.entries()) {
      if (index % stepsABreath === stepsABreath - 1) await breathe();
      const found = matches[index] ?? null;
      const step = next(document, found, { id: found || dryRun ? 0 : (ids.shift() ?? 0), source, at });
      if (step === 'unchanged') continue;
      if ('problems' in step) {
        refused.push(
          ...step.problems.map(({ path, message }) => ({ path: inList([index, ...path]), message })),
        );
      } else steps.push(step);
    }
    if (refused.length > 0) throw invalid(refused, secretAgain);
    const unchanged = read.length - steps.length;
    if (prune) {
      const kept = new Set(matches.map((match) => match?.id));
      const besides = await findEndpointsBesides(sql, source, names);
      steps.push(...besides.filter(({ id }) => !kept.has(id)).map((row) => removal(row, at)));
    }
    return { steps, unchanged };
  }
}

interface Plan {
  readonly steps: readonly Step[];
  readonly unchanged: number;
}

const secretAgain = [422, 'endpoint.secret_again'] as const;

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

/** A token for some regions touches only endpoints of those, before and after. Throws Problem 403. */
function requireRegions({ regions }: Writer, { before, after }: Step): void {
  for (const row of before ? [before, after] : [after]) requireRegionsOf(regions, row);
}

function requireRegionsOf(regions: Writer['regions'], { name, spec }: EndpointRow): void {
  if (!regions) return;
  const asked: readonly string[] = Array.isArray(spec?.regions) ? spec.regions : [];
  const other = asked.find((region) => !regions.includes(region));
  if (asked.length > 0 && other === undefined) return;
  const from = other === undefined ? 'every region' : `the region ${other}`;
  const detail = `'${name}' is checked from ${from}, this token is for ${regions.join(', ')} only`;
  throw new Problem(403, 'auth.region', detail);
}

function sameContent(
  a: { readonly spec: EndpointDocument; readonly sealed: object },
  b: { readonly spec: EndpointDocument; readonly sealed: object },
): boolean {
  return canonicalJson([a.spec, a.sealed]) === canonicalJson([b.spec, b.sealed]);
}

function changeOf({ action, before, after }: Step, dryRun: boolean): EndpointChange {
  return {
    action,
    id: dryRun && action === 'create' ? null : after.id,
    name: after.name,
    rev: after.rev,
    renamedFrom: before && before.name !== after.name ? before.name : null,
    fields: action === 'update' && before ? diffDocuments(before, after) : [],
  };
}

function unreachable(): never {
  throw new Error('what does not exist cannot be unchanged');
}
