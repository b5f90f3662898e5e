import { printable } from '../../shared/command-line.ts';
import type { Evidence } from '../../shared/evidence.ts';
import { factLines } from '../../shared/facts-words.ts';
import type { Outcome } from '../../shared/failure.ts';
import type { Observation, Result } from '../../shared/result.ts';
import { clockWords } from './clock-words.ts';
import { EvidenceParts, instantText } from './evidence.tsx';
import { wordsOf } from './failure-words.ts';
import { bytes, clockTime, dayTime, few, span, withUnit } from './figures.ts';
import { Mark } from './marks.tsx';
import type { ViewState } from './view.ts';
import { Blame, Fall, Strip } from './waterfall.tsx';

/** A result as a page shows it: of a slot, or of a check on demand, which has none. */
export interface ShownResult {
  readonly region: string;
  /** Null for one that the hub no longer trusts. */
  readonly probe: string | null;
  /** Epoch microseconds; null for a check on demand. */
  readonly scheduledAt: number | null;
  readonly startedAt: number;
  readonly suspect: boolean;
  readonly seen: Omit<Observation, 'evidence'>;
  readonly slot: Pick<Result, 'kind' | 'attempts' | 'firstFailure' | 'lateBy' | 'rev'> | null;
  /** How far the clock of its probe is ahead of hub time now, microseconds; null where it does not say. */
  readonly clockOffsetUs: number | null;
  readonly evidence: Evidence | null;
}

export function stateOfOutcome(outcome: Outcome): ViewState {
  return outcome === 'skipped' ? 'unknown' : outcome;
}

interface LineProps {
  readonly result: ShownResult;
  /** What the strips of this list are drawn to; null for each to its own total, where they come one by one. */
  readonly wholeUs: number | null;
  readonly open?: boolean;
  readonly now: number;
}

/** One line; it opens into phases, fault, facts and evidence. Works without JavaScript. */
export const ResultLine = ({ result, wholeUs, open = false, now }: LineProps) => {
  const { seen, region, suspect } = result;
  const { failure, status, outcome } = seen;
  const state = stateOfOutcome(outcome);
  const at = (result.scheduledAt ?? result.startedAt) / 1e6;
  const words = failure && wordsOf(failure.code, status);
  return (
    <details class={state} open={open} data-region={region}>
      <summary>
        <span class="nb">{now - at < 43_200 ? clockTime(at).slice(0, 8) : dayTime(at).slice(5, 16)}</span>
        <span class="place">{region}</span>
        <span class={`seen ${state}`}>
          <Mark state={state} />
          {suspect ? '~' : ''}
          {outcome}
          {suspect && <span class="vh">, suspect</span>}
        </span>
        <span class="c-code odd">
          {failure && (
            <>
              {words?.says} <code class="faint">{failure.code}</code>
            </>
          )}
        </span>
        <span class="c-x dim">{status}</span>
        <span class="c-x dim place">{seen.remoteIp}</span>
        <span class="c-x">
          <Strip result={seen} wholeUs={wholeUs ?? seen.timings.total} />
        </span>
        <span class="num">{withUnit(seen.timings.total)}</span>
      </summary>
      <div class="opened">
        <div>
          <Why result={result} />
          <h3 class="sub">{attemptsText(result)}</h3>
          <Fall result={seen} />
          {failure && (
            <>
              <h3 class="sub">Whose fault</h3>
              <Blame source={failure.source} />
            </>
          )}
        </div>
        <div>
          <Certificate result={result} now={now} />
          <Protocol result={result} />
          <h3 class="sub">Check</h3>
          <CheckFacts result={result} />
        </div>
        {result.evidence && (
          <div class="whole">
            <h3 class="sub">Evidence</h3>
            <EvidenceParts evidence={result.evidence} />
          </div>
        )}
      </div>
    </details>
  );
};

function attemptsText({ slot }: ShownResult): string {
  return slot && slot.attempts > 1
    ? `Phases of the deciding attempt, ${slot.attempts} of ${slot.attempts}`
    : 'Phases';
}

/** The failure in words, what the probe says of it, and why it counts for nothing where it is suspect. */
const Why = ({ result: { seen, suspect, slot } }: { result: ShownResult }) => {
  const { failure, status } = seen;
  if (!failure && !suspect && !slot?.firstFailure) return null;
  const says = failure ? wordsOf(failure.code, status).says : '';
  return (
    <div class="why-all">
      {failure && (
        <p>
          <b>
            {says[0]?.toUpperCase()}
            {says.slice(1)}.
          </b>{' '}
          {failure.message && <bdi class="strange">{printable(failure.message)}</bdi>}
        </p>
      )}
      {slot?.firstFailure && slot.firstFailure !== failure?.code && (
        <p class="dim">
          The first attempt failed otherwise: {wordsOf(slot.firstFailure, null).says}{' '}
          <code>{slot.firstFailure}</code>
        </p>
      )}
      {suspect && (
        <p>
          <b>~ Suspect:</b> the probe's own noise or network may have spoilt it.
          {slot && ' It is kept and shown, and never votes.'}
        </p>
      )}
    </div>
  );
};

const Certificate = ({ result: { seen, region }, now }: { result: ShownResult; now: number }) => {
  const { tls } = seen;
  if (!tls) return null;
  const left = tls.notAfter - now;
  return (
    <>
      <h3 class="sub">Certificate presented to {region}</h3>
      <dl class="dl">
        <dt>Issuer</dt>
        <dd>
          <bdi>{printable(tls.issuer)}</bdi>
        </dd>
        <dt>{left < 0 ? 'Ended' : 'Ends'}</dt>
        <dd class={left < 0 ? 'down' : undefined}>
          {instantText(tls.notAfter)}, {left < 0 ? `${span(-left)} ago` : `in ${span(left)}`}
        </dd>
        <dt>Fingerprint</dt>
        <dd>
          <code>{tls.fingerprint}</code>
        </dd>
        <dt>TLS</dt>
        <dd>
          <bdi>
            {printable(tls.version)}, {printable(tls.cipher)}
          </bdi>
        </dd>
      </dl>
    </>
  );
};

/** What the protocol alone has to tell: answers of DNS, loss of a ping, names of a certificate. */
const Protocol = ({ result }: { result: ShownResult }) => {
  const { facts } = result.seen;
  const lines = facts ? factLines(facts) : [];
  if (lines.length === 0) return null;
  return (
    <>
      <h3 class="sub">What it told</h3>
      <pre class="strange" tabindex={0}>
        {lines.map((line) => printable(line)).join('\n')}
      </pre>
    </>
  );
};

const CheckFacts = ({ result }: { result: ShownResult }) => {
  const { seen, slot, scheduledAt, startedAt } = result;
  const late = startedAt - (scheduledAt ?? startedAt);
  const rows: (readonly [string, string | null])[] = [
    [
      slot && slot.kind !== 'slot' ? `Slot (${slot.kind})` : 'Slot',
      scheduledAt === null
        ? null
        : `${instantMs(scheduledAt)}, started ${withUnit(Math.abs(late))} ${late < 0 ? 'early' : 'late'}`,
    ],
    ['Started', scheduledAt === null ? instantMs(startedAt) : null],
    ['Probe', result.probe ?? 'one that is no longer trusted'],
    ['Clock', clockWords(result.clockOffsetUs)],
    ['Reached', reachedText(seen)],
    ['Status', seen.status === null ? null : String(seen.status)],
    ['HTTP', seen.httpVersion],
    ['Redirects', seen.redirects > 0 ? few(seen.redirects, 'redirect') : null],
    ['Body', seen.bytes > 0 ? `${bytes(seen.bytes)}${seen.truncated ? ', truncated' : ''}` : null],
    ['Assignment', slot ? `rev ${slot.rev}` : null],
  ];
  return (
    <dl class="dl">
      {rows.flatMap(([name, text]) =>
        text === null
          ? []
          : [
              <dt>{name}</dt>,
              <dd>
                <bdi>{printable(text)}</bdi>
              </dd>,
            ],
      )}
    </dl>
  );
};

function reachedText({ remoteIp }: ShownResult['seen']): string | null {
  return remoteIp === null ? null : `${remoteIp}, ${remoteIp.includes(':') ? 'IPv6' : 'IPv4'}`;
}

function instantMs(us: number): string {
  return `${new Date(us / 1000).toISOString().slice(0, 23).replace('T', ' ')} UTC`;
}

export const ResultsHead = ({ wholeUs }: { wholeUs: number | null }) => (
  <div class="head" aria-hidden="true">
    <span>Time, UTC</span>
    <span>Region</span>
    <span>Outcome</span>
    <span class="c-code">Failure</span>
    <span class="c-x">Status</span>
    <span class="c-x">Address</span>
    <span class="c-x">{wholeUs === null ? 'Phases' : `Phases, to ${withUnit(wholeUs)}`}</span>
    <span class="num">Total</span>
    <span></span>
  </div>
);

/** The longest of a list, so that its strips share one scale. */
export function wholeOf(results: readonly ShownResult[]): number {
  return Math.max(1, ...results.map(({ seen }) => seen.timings.total));
}
