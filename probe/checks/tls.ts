import type { AssignmentOf } from '../../shared/assignment.ts';
import { tlsPortOf } from '../../shared/endpoint-tls.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { socketPlaceOf } from '../../shared/socket-url.ts';
import { type Attempt, attempted, type StopSignal } from './attempt.ts';
import type { TextTest } from './body-judge.ts';
import { type SeenCertificate, seeCertificate } from './certificate.ts';
import { handshake } from './handshake.ts';
import { judgeQuality } from './http-expect.ts';
import { literalOf } from './literal.ts';
import { type Findings, newFindings, observed } from './observed.ts';
import { planFailure } from './plan-failure.ts';
import { type Place, reach } from './reach.ts';
import { shownText } from './shown-text.ts';
import { askForTls } from './starttls.ts';
import type { TcpDeps } from './tcp.ts';
import { openWire } from './tcp-wire.ts';
import { placeOf, type TlsTerms, tlsTermsOf } from './tls-terms.ts';

interface TlsPlan {
  readonly place: Place;
  readonly tls: TlsTerms;
  readonly request: AssignmentOf<'tls'>['request'];
  readonly expect: AssignmentOf<'tls'>['expect'];
}

export function prepareTls({ url, request, expect, timeoutMs }: AssignmentOf<'tls'>, deps: TcpDeps) {
  const named = socketPlaceOf(new URL(url), tlsPortOf(request));
  if ('problem' in named) return failure('probe.internal', named.problem);
  const place = placeOf(named.host, named.port, request);
  try {
    const plan: TlsPlan = { place, tls: tlsTermsOf(named.host, request, deps), request, expect };
    return (stop: StopSignal) => checkTls(plan, timeoutMs, deps, stop);
  } catch (error) {
    return planFailure(error);
  }
}

/** A handshake and nothing after it. The certificate is told whatever it is worth. */
function checkTls(plan: TlsPlan, timeoutMs: number, deps: TcpDeps, stop: StopSignal): Promise<Observation> {
  return attempted(timeoutMs, stop, async (attempt) => {
    const findings = newFindings();
    const { failure: ended, seen } = await shakeHands(plan, findings, attempt, deps);
    const totalMs = performance.now() - attempt.beganMs;
    const { certDays, slowerThan = null } = plan.expect;
    const why = ended ?? (await judge(plan, findings, seen, deps));
    if (seen && findings.tls) {
      const daysLeft = Math.floor((findings.tls.notAfter * 1000 - deps.now()) / 86_400_000);
      findings.facts = { ...findings.facts, daysLeft, ...seen.facts };
    }
    const quality = why
      ? null
      : judgeQuality({ certDays, slowerThanMs: slowerThan }, findings.tls, totalMs, deps.now());
    return observed(findings, attempt, totalMs, why, quality);
  });
}

interface Shaken {
  readonly failure: Failure | null;
  readonly seen: SeenCertificate | null;
}

async function shakeHands(
  { place, tls, request }: TlsPlan,
  findings: Findings,
  attempt: Attempt,
  deps: TcpDeps,
): Promise<Shaken> {
  const socket = await reach(place, attempt, deps);
  if ('code' in socket) return { failure: socket, seen: null };
  findings.remoteIp = socket.remoteAddress ?? null;
  if (request.starttls) {
    findings.facts = { starttls: request.starttls };
    const wire = openWire(socket, attempt);
    const refused = await askForTls(request.starttls, wire, { ...place, name: tls.name }, attempt);
    findings.bytes = wire.received();
    if (refused) {
      wire.leave();
      return { failure: refused, seen: null };
    }
    wire.detach();
  }
  let seen: SeenCertificate | null = null;
  const secured = await handshake(
    socket,
    { ...tls, alpn: request.alpn, observe: (one) => (seen = seeCertificate(one)) },
    attempt,
  );
  findings.tls = secured.facts;
  if ('failure' in secured) return { failure: secured.failure, seen };
  secured.socket.destroy();
  return { failure: null, seen };
}

/** What is expected of a certificate that is trusted, or that nobody asked to verify. */
async function judge(
  { expect, tls: { verify } }: TlsPlan,
  { tls }: Findings,
  seen: SeenCertificate | null,
  { patterns }: TcpDeps,
): Promise<Failure | null> {
  if (!tls || !seen) return failure('tls.handshake', 'the server showed no certificate');
  const version = tls.version === 'TLSv1' ? '1.0' : tls.version.replace('TLSv', '');
  const { minVersion = '1.0', maxVersion = '9', fingerprints, publicKeys, names, ocsp, issuer } = expect;
  if (version < minVersion || version > maxVersion)
    return failure('expect.version', `the server agreed to TLS ${version}, which is not expected`);
  const other = (what: string) => failure('expect.identity', what);
  if (fingerprints.length > 0 && !fingerprints.includes(seen.fingerprint))
    return other(`the certificate has another fingerprint: ${seen.fingerprint}`);
  if (publicKeys.length > 0 && !publicKeys.includes(seen.publicKey ?? ''))
    return other(`the certificate has another public key: ${seen.publicKey ?? 'of an unknown kind'}`);
  const missing = names.find((name) => !seen.covers(name));
  if (missing !== undefined) return other(`the certificate is not for ${missing}`);
  const status = typeof seen.ocsp === 'object' ? (seen.ocsp?.status ?? null) : seen.ocsp;
  if (status === 'revoked' && (verify || ocsp === 'good'))
    return failure('tls.untrusted', 'the certificate was revoked, says the OCSP response beside it');
  if (ocsp !== 'any' && status === null) return other('no OCSP response came along with the certificate');
  if (ocsp === 'good' && status !== 'good') return other(`the OCSP response beside it says ${status}`);
  const tests: TextTest[] = [];
  for (const wanted of [true, false]) {
    for (const pattern of wanted ? issuer.matches : issuer.notMatches) {
      const literal = literalOf(pattern);
      const how = wanted ? 'does not match' : 'matches';
      const why = other(`the issuer ${how} ${shownText(pattern.pattern, 80)}`);
      if (literal === null) tests.push({ texts: [seen.issuer], pattern, wanted, failure: why });
      else if (seen.issuer.includes(literal) !== wanted) return why;
    }
  }
  return tests.length === 0 ? null : patterns.run({ tests, body: null });
}
