import type { FailureSource } from '../../shared/failure.ts';
import { failureSources } from '../../shared/failure.ts';
import type { Result } from '../../shared/result.ts';
import { withUnit } from './figures.ts';

const phases = ['dns', 'connect', 'tls', 'wait', 'transfer'] as const;
type Phase = (typeof phases)[number];

/** What a drawing of phases reads of a result. */
export type Phased = Pick<Result, 'timings' | 'failure'>;

/** A code's stage is the phase it broke in; what was expected of a whole answer broke none. */
const brokeIn: Readonly<Record<string, Phase>> = {
  dns: 'dns',
  connect: 'connect',
  tls: 'tls',
  request: 'wait',
  wait: 'wait',
  body: 'transfer',
};

function brokenPhase({ failure }: Phased): Phase | null {
  return brokeIn[failure?.code.split('.')[0] ?? ''] ?? null;
}

interface Bar {
  readonly phase: Phase;
  readonly number: number;
  /** Percent of the whole. */
  readonly from: number;
  readonly width: number;
  readonly us: number | null;
  readonly broke: boolean;
}

/** The phases there were, and after the one that broke those that were not reached. */
export function barsOf(result: Phased, wholeUs: number): readonly Bar[] {
  const { timings } = result;
  const broken = brokenPhase(result);
  const bars: Bar[] = [];
  let at = 0;
  for (const [index, phase] of phases.entries()) {
    const us = timings[phase];
    const broke = phase === broken;
    const isAfter = broken !== null && index > phases.indexOf(broken);
    // Plain http has no tls; an address needs no dns.
    if (us === null && !broke && (!isAfter || phase === 'tls')) continue;
    // The phase that a deadline cut has no end of its own: it took what was left.
    const took = us ?? (broke ? Math.max(0, timings.total - at) : 0);
    const from = wholeUs > 0 ? Math.min(100, (at / wholeUs) * 100) : 0;
    const width = wholeUs > 0 ? Math.min(100 - from, (took / wholeUs) * 100) : 0;
    bars.push({ phase, number: index + 1, from, width, us: us ?? (broke ? took : null), broke });
    at += took;
  }
  return bars;
}

const rounded = (value: number) => Math.round(value * 100) / 100;

/** One result's phases in a line; a failure drops under it where it broke. */
export const Strip = ({ result, wholeUs }: { result: Phased; wholeUs: number }) => (
  <svg class="strip" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
    <path class="axis" d="M0 7h100" />
    {barsOf(result, wholeUs).map(({ number, from, width, broke }) =>
      width > 0 ? (
        <path
          class={broke ? 'down fill' : `p${number}`}
          d={`M${rounded(from)} ${broke ? 7 : 2}h${rounded(width)}v5h${-rounded(width)}z`}
        />
      ) : null,
    )}
  </svg>
);

/** The same as a waterfall with its figures: the deciding attempt's. */
export const Fall = ({ result }: { result: Phased }) => {
  const { total } = result.timings;
  return (
    <div class="fall">
      {barsOf(result, total).flatMap(({ phase, number, from, width, us, broke }) => {
        const never = us === null;
        const is = never ? 'never' : broke ? 'broke' : '';
        return [
          <span class={is}>{phase}</span>,
          <svg class={`track ${is}`} viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
            {!never && (
              <path
                class={broke ? 'down fill' : `p${number}`}
                d={`M${rounded(Math.min(from, 99.5))} ${broke ? 7 : 0}h${rounded(Math.max(0.5, width))}V14H${rounded(Math.min(from, 99.5))}z`}
              />
            )}
          </svg>,
          <span class={`num ${is}`}>{us === null ? 'not reached' : withUnit(us)}</span>,
        ];
      })}
      <b>total</b>
      <span></span>
      <b class="num">{withUnit(total)}</b>
    </div>
  );
};

/** Whose the failure is. */
export const Blame = ({ source }: { source: FailureSource }) => {
  const order: readonly FailureSource[] = ['probe', 'resolver', 'network', 'target'];
  return failureSources.includes(source) ? (
    <ol class="blame">
      {order.map((each) => (
        <li class={each === source ? 'fault' : undefined}>
          {each}
          {each === source && <span class="vh">: its fault</span>}
        </li>
      ))}
    </ol>
  ) : null;
};
