import { wordsOfReject } from '../ingest/reject-words.ts';
import type { PageProbe } from './board.ts';
import { bytes, clockTime, dayTime, few, span, whole, withUnit } from './figures.ts';
import { isSeen } from './health.tsx';
import { Held } from './held.tsx';
import { Mark } from './marks.tsx';
import { Age } from './matrix.tsx';
import { compare } from './region-order.ts';
import type { PageRegion } from './row.ts';
import type { ViewState } from './view.ts';

export interface ProbesProps {
  readonly probes: readonly PageProbe[];
  readonly regions: readonly PageRegion[];
  /** May approve and revoke. */
  readonly admin: boolean;
  readonly now: number;
}

/** Most lines of one page. */
export const mostShown = 500;

export const ProbesPage = ({ probes, regions, admin, now }: ProbesProps) => {
  const names = new Map(regions.map(({ id, name }) => [id, name]));
  const sorted = probes
    .filter(({ regionId }) => names.has(regionId))
    .sort(
      (a, b) =>
        rank(a) - rank(b) ||
        compare(names.get(a.regionId) ?? '', names.get(b.regionId) ?? '') ||
        compare(a.name, b.name),
    );
  const shown = sorted.slice(0, mostShown);
  return (
    <>
      <div class="lede">
        <div>
          <h1>{headline(sorted, now)}</h1>
          <p class="long">
            A probe asks for its lease every 8 s. Unseen for 20 s, its endpoints go to the others of its
            region; past the end of its lease it stops by itself.
          </p>
        </div>
      </div>
      <div class="note down" id="refused" role="alert" hidden></div>
      <div id="live" data-probes={sorted.map(({ id, status }) => `${id}${status[0]}`).join(' ')}>
        {shown.length === 0 ? (
          <div class="empty">
            <b>No probes yet</b>
            <span>
              <code>parallax enroll --region eu-west</code> prints a token;{' '}
              <code>parallax probe --hub URL --token TOKEN --data DIR</code> uses it.
            </span>
          </div>
        ) : (
          <section class="wide" aria-label="Probes" tabindex={0}>
            <table class="list probes">
              <thead>
                <tr>
                  <th scope="col">Probe</th>
                  <th scope="col">Region</th>
                  <th scope="col">Status</th>
                  <th scope="col" class="num">
                    Lease asked
                  </th>
                  <th scope="col" class="num">
                    Lease ends
                  </th>
                  <th scope="col" class="num">
                    Spool
                  </th>
                  <th scope="col" class="num">
                    Capacity
                  </th>
                  <th scope="col" class="num">
                    Noise
                  </th>
                  <th scope="col" class="num">
                    Dropped
                  </th>
                  <th scope="col">Network</th>
                  <th scope="col">Refused</th>
                  <th scope="col">Version</th>
                  {admin && (
                    <th scope="col">
                      <span class="vh">Actions</span>
                    </th>
                  )}
                </tr>
              </thead>
              <tbody>
                {shown.map((probe) => (
                  <ProbeRow probe={probe} region={names.get(probe.regionId) ?? ''} admin={admin} now={now} />
                ))}
              </tbody>
            </table>
          </section>
        )}
        {sorted.length > shown.length && (
          <p class="key">
            {few(sorted.length - shown.length, 'more probe')}: parallax probes list shows them all.
          </p>
        )}
      </div>
      <Held />
    </>
  );
};

/** Whoever waits for an answer first, the revoked last. */
function rank({ status }: PageProbe): number {
  return status === 'pending' ? 0 : status === 'active' ? 1 : 2;
}

function headline(probes: readonly PageProbe[], now: number): string {
  const active = probes.filter(({ status, trusted }) => status === 'active' && trusted);
  const pending = probes.filter(({ status }) => status === 'pending').length;
  const unseen = active.filter((probe) => !isSeen(probe, now)).length;
  const refused = active.filter((probe) => probe.refused > 0).length;
  const lies = refused > 0 ? ` Results of ${refused === 1 ? 'one' : whole(refused)} are refused.` : '';
  const waits = pending > 0 ? ` ${few(pending, 'probe waits', 'probes wait')} for approval.` : '';
  if (active.length === 0) return `No probe is active.${waits}`;
  if (unseen === 0)
    return `${active.length === 1 ? 'The one active probe is' : `All ${whole(active.length)} active probes are`} seen.${lies}${waits}`;
  return `${whole(unseen)} of ${few(active.length, 'active probe')} ${unseen === 1 ? 'is' : 'are'} not seen.${lies}${waits}`;
}

export function stateOf(probe: PageProbe, now: number): { state: ViewState; word: string } {
  // Somebody wrote to the database who has not the hub's key; or the hub has not read it again yet.
  if (!probe.trusted) return { state: 'unknown', word: 'not trusted' };
  if (probe.status === 'revoked') return { state: 'off', word: 'revoked' };
  if (probe.status === 'pending') return { state: 'unknown', word: 'waits for approval' };
  return isSeen(probe, now) ? { state: 'up', word: 'active' } : { state: 'unknown', word: 'not seen' };
}

/** What ingest would not take of it in this hour and the last: a probe that lies, or is broken, stands out. */
const Refused = ({ probe: { refused, refusedFor } }: { probe: PageProbe }) => {
  if (refused === 0 || refusedFor === null) return null;
  const words = wordsOfReject(refusedFor);
  const says = `${whole(refused)} refused in this hour and the last, most of them ${words.means}. What to do: ${words.advice}.`;
  return (
    <span class="seen down" title={says}>
      <Mark state="down" />
      <b>{whole(refused)}</b> <span class="why">{refusedFor.replaceAll('_', ' ')}</span>
      <span class="vh">: {says}</span>
    </span>
  );
};

/** What it says of its own network, and of its clock where that is off by more than a second. */
const Network = ({ probe, now }: { probe: PageProbe; now: number }) => {
  const { networkState: state, networkWhy: why, networkSince: since, clockOffsetUs } = probe;
  const off = Math.abs(clockOffsetUs ?? 0) / 1_000_000;
  const clock =
    off > 1 ? (
      <span class="why" title="Slots run on hub time: no result is wrong for it.">
        clock {span(off)} {(clockOffsetUs ?? 0) > 0 ? 'ahead' : 'behind'}
      </span>
    ) : null;
  if (state === null) return clock;
  if (state === 'ok') {
    return (
      <>
        <span class="dim" title={why ?? ''}>
          ok
        </span>{' '}
        {clock}
      </>
    );
  }
  const says = `${state === 'gone' ? 'Its network is gone' : 'Its network is doubtful'} for ${span(now - (since ?? now))}: ${why}. What it spoils counts against no target.`;
  return (
    <>
      <span class={`seen ${state === 'gone' ? 'down' : 'unknown'}`} title={says}>
        <Mark state={state === 'gone' ? 'down' : 'unknown'} />
        <b>{state}</b> <span class="why">{why}</span>
        <span class="vh">: {says}</span>
      </span>{' '}
      {clock}
    </>
  );
};

export const ProbeRow = (props: { probe: PageProbe; region: string; admin: boolean; now: number }) => {
  const { probe, now } = props;
  const { state, word } = stateOf(probe, now);
  const ends = probe.leaseExpiresAt;
  return (
    <tr data-id={probe.id} data-name={probe.name}>
      <th scope="row" class="name">
        <a href={`/probes/${probe.id}`}>
          <bdi>{probe.name}</bdi>
        </a>{' '}
        <span class="faint">#{probe.id}</span>
      </th>
      <td data-label="Region">{props.region}</td>
      <td>
        <span class={`seen ${state}`}>
          <Mark state={state} />
          {word}
        </span>
      </td>
      <td class="num" data-label="Lease asked">
        <Age at={probe.seenAt} now={now} />
      </td>
      <td class="num" data-label="Lease ends">
        {ends === null ? '' : ends < now ? 'over' : ends - now < 43_200 ? clockTime(ends) : dayTime(ends)}
      </td>
      <td class="num" data-label="Spool">
        {probe.spoolBytes === null ? '' : bytes(probe.spoolBytes)}
      </td>
      <td class="num" data-label="Capacity">
        {probe.capacity === null ? '' : `${whole(probe.capacity)}/s`}
      </td>
      <td class="num" data-label="Noise">
        {probe.noiseUs === null ? '' : withUnit(probe.noiseUs)}
      </td>
      <td class="num" data-label="Dropped">
        {probe.dropped === null ? '' : probe.dropped > 0 ? <b>{whole(probe.dropped)}</b> : '0'}
      </td>
      <td class="refused" data-label="Network">
        <Network probe={probe} now={now} />
      </td>
      <td class="refused" data-label="Refused">
        <Refused probe={probe} />
      </td>
      <td class="dim" data-label="Version">
        {[probe.version, probe.runtime].filter(Boolean).join(', ')}
      </td>
      {props.admin && (
        <td class="c-acts">
          <div class="acts">
            {probe.status === 'pending' && (
              <button type="button" class="btn first" data-act="approve" disabled>
                Approve<span class="vh"> {probe.name}</span>
              </button>
            )}
            {probe.status !== 'revoked' && (
              <button type="button" class="btn" data-act="revoke" disabled>
                Revoke<span class="vh"> {probe.name}</span>
              </button>
            )}
          </div>
        </td>
      )}
    </tr>
  );
};
