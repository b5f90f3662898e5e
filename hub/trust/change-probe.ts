import { Problem } from '../problem.ts';
import { tellChange } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { lockProbe } from '../store/find-probe.ts';
import { insertAudit } from '../store/insert-audit.ts';
import type { ProbeRow, ProbeStatus } from '../store/probe-row.ts';
import { updateProbeStatus } from '../store/update-probe-status.ts';
import type { HubKeys } from './keys.ts';
import { probeRowHolds, signProbeRow } from './probe-rows.ts';

export interface ProbeChange {
  readonly id: number;
  readonly action: 'approve' | 'revoke';
  readonly reason?: string;
  readonly actor: string;
  readonly remoteIp: string | null;
  /** Throws where this operator may not touch the region. */
  readonly mayTouch: (region: string) => void;
}

/**
 * Approves a pending probe, or revokes one for good; done before is done. A row that the hub did not write is refused:
 * to sign it now would make it one. Throws Problem 404 `probe.unknown`, 409 `probe.untrusted`, `probe.revoked`.
 */
export async function changeProbe(
  db: Database,
  keys: Pick<HubKeys, 'hmac'>,
  { id, action, reason, actor, remoteIp, mayTouch }: ProbeChange,
): Promise<void> {
  await db.transaction(async (sql) => {
    const probe = await lockProbe(sql, id);
    if (!probe) throw new Problem(404, 'probe.unknown', `there is no probe ${id}`);
    mayTouch(probe.region);
    if (!probeRowHolds(keys.hmac, probe)) throw untrusted(probe);
    const status: ProbeStatus = action === 'approve' ? 'active' : 'revoked';
    if (probe.status === status) return;
    if (probe.status === 'revoked') {
      throw new Problem(409, 'probe.revoked', `probe ${id} was revoked, for good: enroll it anew`);
    }
    await updateProbeStatus(sql, signProbeRow(keys.hmac, { ...probe, status }));
    await insertAudit(sql, {
      actor,
      action: `probe.${action}`,
      subject: `probe:${id}`,
      before: { name: probe.name, region: probe.region, status: probe.status },
      after: { status, ...(reason === undefined ? {} : { reason }) },
      remoteIp,
    });
    await tellChange(sql, 'probes');
  });
}

function untrusted({ id }: ProbeRow): Problem {
  return new Problem(
    409,
    'probe.untrusted',
    `probe ${id} was not written by this hub, which does not believe it: find out who writes to its database, and delete the row there`,
  );
}
