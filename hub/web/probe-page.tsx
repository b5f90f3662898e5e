import type { Child } from 'hono/jsx';
import { printable } from '../../shared/command-line.ts';
import { wordsOfReject } from '../ingest/reject-words.ts';
import type { PageProbe } from './board.ts';
import { clockWords } from './clock-words.ts';
import { bytes, clockTime, dayTime, span, whole, withUnit } from './figures.ts';
import { Mark } from './marks.tsx';
import { Age } from './matrix.tsx';
import { stateOf } from './probes-page.tsx';

export interface ProbeProps {
  readonly probe: PageProbe;
  readonly region: string;
  /** Epoch seconds. */
  readonly now: number;
  /** What is known of its host, where the hub takes that. */
  readonly host?: Child;
}

/** One probe: what it last said of itself, and what the hub makes of it. */
export const ProbePage = ({ probe, region, now, host }: ProbeProps) => {
  const { state, word } = stateOf(probe, now);
  return (
    <>
      <div class="lede">
        <div>
          <p class="crumb">
            <a href="/probes">Probes</a>
          </p>
          <h1 class="strange">
            <bdi>{probe.name}</bdi>
          </h1>
          <div class="facts">
            <span class={`seen ${state}`}>
              <Mark state={state} />
              {word}
            </span>
            <span>
              region <b>{region}</b>
            </span>
            <span>
              probe <b>#{probe.id}</b>
            </span>
            <span>
              enrolled <b>{dayTime(probe.createdAt)}</b>
            </span>
          </div>
        </div>
      </div>
      <section>
        <header>
          <h2>What it says of itself</h2>
          <p>with each lease it asks for, every 8 s</p>
        </header>
        <dl class="dl said">
          {linesOf(probe, now).flatMap(([name, text]) => [<dt>{name}</dt>, <dd>{text}</dd>])}
        </dl>
      </section>
      {host}
    </>
  );
};

const unsaid = <span class="faint">not said</span>;

function linesOf(probe: PageProbe, now: number): readonly (readonly [string, Child])[] {
  const { capacity, noiseUs, dropped, spoolBytes, leaseExpiresAt: ends } = probe;
  return [
    [
      'Lease',
      <>
        asked <Age at={probe.seenAt} now={now} />
        {probe.seenAt !== null && ' ago'}
        {ends !== null &&
          `, ${ends < now ? 'over since' : 'ends'} ${ends - now < 43_200 ? clockTime(ends) : dayTime(ends)}`}
      </>,
    ],
    [
      'Version',
      [probe.version, probe.runtime]
        .filter(Boolean)
        .map((text) => printable(text ?? ''))
        .join(', ') || unsaid,
    ],
    ['Clock', clockWords(probe.clockOffsetUs) ?? unsaid],
    ['Network', networkWords(probe, now) ?? unsaid],
    [
      'Noise',
      noiseUs === null
        ? unsaid
        : `${withUnit(noiseUs)} of what it measures may be its own; above its limit results are suspect`,
    ],
    ['Capacity', capacity === null ? unsaid : `${whole(capacity)} checks/s: the hub gives it shards by this`],
    [
      'Dropped',
      dropped === null ? (
        unsaid
      ) : dropped === 0 ? (
        'no result'
      ) : (
        <b>{whole(dropped)} results, for want of room in its spool</b>
      ),
    ],
    ['Spool', spoolBytes === null ? unsaid : `${bytes(spoolBytes)} not yet known to be stored`],
    ['Refused', refusedWords(probe)],
  ];
}

function networkWords(
  { networkState: state, networkWhy: why, networkSince: since }: PageProbe,
  now: number,
): Child {
  if (state === null) return null;
  if (state === 'ok') return why ? `ok: ${printable(why)}` : 'ok';
  return (
    <>
      <b>{state}</b> for {span(now - (since ?? now))}: {printable(why ?? '')}. What it spoils counts against
      no target.
    </>
  );
}

function refusedWords({ refused, refusedFor }: PageProbe): Child {
  if (refused === 0 || refusedFor === null) return 'nothing in this hour and the last';
  const { means, advice } = wordsOfReject(refusedFor);
  return `${whole(refused)} in this hour and the last, most of them ${means}. What to do: ${advice}.`;
}
