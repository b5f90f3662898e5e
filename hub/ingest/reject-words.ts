import type { RejectReason } from './reject.ts';

export interface RejectWords {
  /** What one of them is: unproven speech, a whole batch, or one result of a batch. */
  readonly of: 'speaker' | 'batch' | 'result';
  /** What was seen, to stand after a count. */
  readonly means: string;
  /** What a person can do. */
  readonly advice: string;
}

const renew =
  'look at that machine: where it is not a bug of its version, revoke the probe and enroll it again';
const versions = 'bring the hub and its probes to the same version: the hub first';

/** One table for the API, the command line and the pages. */
export const rejectWords: Readonly<Record<RejectReason, RejectWords>> = {
  put_off: {
    of: 'batch',
    means: 'batches put off unread, since too much of what came before was refused or there already',
    advice:
      'see its other reasons: nothing is lost meanwhile, the probe sends them again; a probe that does this without end is revoked by `parallax probes revoke`',
  },
  headers: {
    of: 'speaker',
    means: 'messages without kid, sig or schema',
    advice: 'somebody other than a probe writes to the topic: look at its ACLs',
  },
  unknown_probe: {
    of: 'speaker',
    means: 'batches by a key that no probe has',
    advice:
      'a probe of another hub or a deleted one writes here, or somebody who is none: look at the ACLs of the topic; a new probe sends such a batch again',
  },
  bad_signature: {
    of: 'speaker',
    means: "batches under this probe's name that its key did not sign",
    advice:
      'not proven to be its own doing: whoever may write to the topic can do this. Look at ACLs and at who writes; a damaged way there does it too',
  },
  schema_unknown: {
    of: 'batch',
    means: 'batches in a form this hub does not know',
    advice: versions,
  },
  too_large: { of: 'batch', means: 'batches larger than a batch may be', advice: renew },
  inflate: { of: 'batch', means: 'batches that do not unpack', advice: renew },
  decode: { of: 'batch', means: 'batches that are no Avro of their schema', advice: renew },
  probe_revoked: {
    of: 'batch',
    means: 'batches by a probe that is revoked',
    advice: 'stop its process; with Kafka its token lives on for ten minutes at most',
  },
  probe_pending: {
    of: 'batch',
    means: 'batches by a probe that nobody approved yet',
    advice: '`parallax probes approve` it, or revoke it',
  },
  probe_mismatch: { of: 'batch', means: 'batches that name another probe', advice: renew },
  region_mismatch: {
    of: 'batch',
    means: "batches that name another region than the probe's",
    advice: 'its data folder may be from another region: enroll it anew with an empty one',
  },
  seq_range: { of: 'batch', means: 'batches with a number that no spool gives', advice: renew },
  gap_invalid: { of: 'batch', means: 'gap records that cannot be', advice: renew },
  stream_foreign: {
    of: 'batch',
    means: 'batches in the stream of another probe',
    advice: 'a data folder was copied from one machine to another: give each its own, and enroll it',
  },
  seq_reused: {
    of: 'batch',
    means: 'batches under a number that another content already had',
    advice:
      'its spool may have come back from an old copy, or two processes share one: give it an empty data folder and enroll it anew; else it lies: revoke it',
  },
  streams_exhausted: {
    of: 'batch',
    means: 'batches in more streams than a probe may have',
    advice: 'its data folder is lost at each start: give it one that stays; then enroll it anew',
  },
  poison: {
    of: 'batch',
    means: 'batches that PostgreSQL would not take',
    advice: 'this is a bug of the hub: please report it with a sample',
  },
  endpoint_unknown: {
    of: 'result',
    means: 'results of endpoints that do not exist',
    advice: 'of endpoints deleted long ago they are to be expected once; else the probe makes them up',
  },
  endpoint_not_in_region: {
    of: 'result',
    means: "results of endpoints that are not checked from the probe's region",
    advice: 'the probe checks what it was not given: look at its version and machine, or revoke it',
  },
  future: {
    of: 'result',
    means: 'results of instants that have not come yet',
    advice: 'set the clock of its machine by NTP, then that of the hub and brokers',
  },
  too_late: {
    of: 'result',
    means: 'results older than results are kept',
    advice: 'it was away for longer than retention, and what it has from before is lost here',
  },
  no_partition: {
    of: 'result',
    means: 'results for which there was no partition',
    advice: "the hub's own trouble: see the line on partitions of `parallax status`",
  },
  result_invalid: {
    of: 'result',
    means: 'results that say what cannot be',
    advice: `${versions}; where they are, it is a bug or a lie: see the samples`,
  },
  duplicate_slot: {
    of: 'result',
    means: 'results of slots that were there already from the same probe',
    advice: 'two processes may share one identity, or its clock was set back: see that only one runs',
  },
};

/** Of a reason as the database has it: a newer hub may have written one that this one does not know. */
export function wordsOfReject(reason: string): RejectWords {
  if (Object.hasOwn(rejectWords, reason)) return rejectWords[reason as RejectReason];
  return { of: 'batch', means: reason, advice: 'a newer hub of this network knows what this is' };
}
