import { setImmediate as breathe } from 'node:timers/promises';
import type { DocumentPath } from '../../shared/document-problem.ts';
import type { Sql } from '../store/database.ts';
import { findEndpointsBesides, findEndpointsByName } from '../store/find-endpoints.ts';
import { takeEndpointIds } from '../store/write-endpoints.ts';
import { matchDocuments } from './match-documents.ts';
import { inList, invalid, type ReadDocument } from './read-documents.ts';
import type { Step, Steps } from './step.ts';

export interface Plan {
  readonly steps: readonly Step[];
  readonly unchanged: number;
}

/** The problem of a document whose secrets have to be given again. */
export const secretAgain = [422, 'endpoint.secret_again'] as const;

const stepsABreath = 200;

export interface PlanOptions {
  readonly source: string;
  /** Delete what this source made and the list does not name. */
  readonly prune: boolean;
  /** Tell what would change, change nothing. */
  readonly dryRun: boolean;
  /** The instant of all that it changes, epoch microseconds. */
  readonly at: number;
}

/** What applying a list comes to. Throws the Problem that names everything wrong in it. */
export async function planApply(
  sql: Sql,
  { next, removal }: Steps,
  read: readonly ReadDocument[],
  { source, prune, dryRun, at }: PlanOptions,
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
