import { tellChange } from '../store/changes.ts';
import type { Sql } from '../store/database.ts';
import { insertAudits } from '../store/insert-audit.ts';
import {
  insertEndpointRevs,
  insertEndpoints,
  updateEndpoints,
  vacateNames,
} from '../store/write-endpoints.ts';
import type { Step } from './step.ts';
import type { Writer } from './writer.ts';

/** Rows, revs, audit log and the word to the replicas, in the caller's transaction. */
export async function writeSteps(sql: Sql, steps: readonly Step[], writer: Writer): Promise<void> {
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
