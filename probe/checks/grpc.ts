import type { AssignmentOf } from '../../shared/assignment.ts';
import { grpcStatusNames, healthNames, serviceOfUrl } from '../../shared/endpoint-grpc.ts';
import { clipUtf8, type Failure, failure } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import { type Attempt, attempted, type StopSignal } from './attempt.ts';
import { callGrpc, type GrpcAnswer, type GrpcCall } from './grpc-call.ts';
import { healthRequest, readHealth } from './grpc-health.ts';
import { judgeQuality } from './http-expect.ts';
import type { PlanDeps } from './http-plan.ts';
import { type Findings, newFindings, observed } from './observed.ts';
import { ProbeValueError, resolveProbeValues } from './probe-values.ts';
import type { Place, ReachDeps } from './reach.ts';
import { reachSecured, type TlsWish } from './secure-reach.ts';
import { noteRequest } from './trace.ts';

export interface GrpcDeps extends ReachDeps {
  /** Epoch milliseconds: certificates end by the wall clock. */
  readonly now: () => number;
}

const checkPath = '/grpc.health.v1.Health/Check';

interface GrpcPlan {
  readonly place: Place;
  readonly tls: TlsWish | null;
  readonly call: GrpcCall;
  readonly expect: AssignmentOf<'grpc'>['expect'];
}

export function prepareGrpc(assignment: AssignmentOf<'grpc'>, deps: GrpcDeps & PlanDeps) {
  try {
    const plan = planOf(assignment, deps);
    return (stop: StopSignal) => checkGrpc(plan, assignment.timeoutMs, deps, stop);
  } catch (error) {
    if (error instanceof ProbeValueError) return failure('probe.internal', error.message);
    // The code alone: what OpenSSL says of a key may quote it.
    const code =
      error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.name) : 'unknown error';
    return failure('probe.internal', `the endpoint cannot be prepared: ${code}`);
  }
}

function planOf({ url: text, request, expect, timeoutMs }: AssignmentOf<'grpc'>, deps: PlanDeps): GrpcPlan {
  const own = (value: string) => resolveProbeValues(value, deps.env);
  // The URL standard reads hosts and default ports of the schemes it knows alone.
  const url = new URL(text.replace(/^grpc/i, 'http'));
  const secure = url.protocol === 'https:';
  const { authority = url.host, serverName = null, ipFamily, resolveTo = null } = request;
  const metadata = Object.entries(request.metadata).map(([name, value]) => [
    name,
    ownField(name, own(value)),
  ]);
  const { verify, ca, cert, key, minVersion } = request.tls;
  const pem = (value: string | undefined) => (value === undefined ? undefined : own(value));
  return {
    place: {
      host: url.hostname,
      port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
      ipFamily,
      resolveTo,
      otherNames: [request.authority?.replace(/:\d*$/, '') ?? '', serverName ?? ''].filter(
        (name) => name !== '',
      ),
    },
    tls: secure
      ? {
          context: deps.contexts.get({ ca: pem(ca), cert: pem(cert), key: pem(key), minVersion }),
          verify,
          serverName,
          alpn: ['h2'],
        }
      : null,
    call: {
      url: new URL(checkPath, url),
      fields: {
        ':method': 'POST',
        ':scheme': secure ? 'https' : 'http',
        ':authority': authority,
        ':path': checkPath,
        'content-type': 'application/grpc',
        te: 'trailers',
        // A server that knows the deadline gives up with us.
        'grpc-timeout': `${timeoutMs}m`,
        'grpc-accept-encoding': 'identity',
        'user-agent': deps.userAgent,
        ...Object.fromEntries(metadata),
      },
      body: healthRequest(request.service ?? serviceOfUrl(url)),
    },
    expect,
  };
}

function ownField(name: string, value: string): string {
  if (/^[\x20-\x7e]*$/.test(value)) return value;
  throw new ProbeValueError(`the value of the metadata ${name} is not printable ASCII on this probe`);
}

/** One call of the health service. What a target does wrong is in the observation, never thrown. */
function checkGrpc(
  plan: GrpcPlan,
  timeoutMs: number,
  deps: GrpcDeps,
  stop: StopSignal,
): Promise<Observation> {
  return attempted(timeoutMs, stop, async (attempt) => {
    const findings = newFindings();
    const answer = await ask(plan, findings, attempt, deps);
    const totalMs = performance.now() - attempt.beganMs;
    const why = 'body' in answer ? judge(plan, answer, findings) : answer;
    const { certDays, slowerThan = null } = plan.expect;
    const quality = why
      ? null
      : judgeQuality({ certDays, slowerThanMs: slowerThan }, findings.tls, totalMs, deps.now());
    return observed(findings, attempt, totalMs, why, quality);
  });
}

async function ask(
  { place, tls, call }: GrpcPlan,
  findings: Findings,
  attempt: Attempt,
  deps: GrpcDeps,
): Promise<GrpcAnswer | Failure> {
  const socket = await reachSecured(place, tls, attempt, findings, deps);
  if ('code' in socket) return socket;
  const { traceparent } = attempt.trace;
  const fields = traceparent === null ? call.fields : { ...call.fields, traceparent };
  // What other protocols call Host.
  const headers = Object.entries(fields).flatMap(([name, value]) =>
    name === ':authority' ? ['host', value] : name.startsWith(':') ? [] : [name, value],
  );
  noteRequest(attempt.trace, { method: 'POST', url: call.url, headers, body: null });
  const { outcome, httpStatus, bytes } = await callGrpc(socket, { ...call, fields }, attempt);
  findings.bytes = bytes;
  if (httpStatus !== null) findings.httpVersion = '2';
  if (httpStatus !== null && httpStatus !== 200) findings.facts = { httpStatus };
  return outcome;
}

function judge(
  { expect }: GrpcPlan,
  { code, message, body }: GrpcAnswer,
  findings: Findings,
): Failure | null {
  const named = grpcStatusNames[code] ?? `${code}`;
  const health = code === 0 && body ? readHealth(body) : null;
  findings.status = code;
  findings.facts = {
    grpcStatus: named,
    ...(message === '' ? {} : { message: clipUtf8(message, 120) }),
    ...(health === null ? {} : { health: healthName(health) }),
  };
  if (!expect.grpcStatus.includes(code)) {
    const wanted = expect.grpcStatus.map((each) => grpcStatusNames[each] ?? each).join(' or ');
    return failure('expect.status', `gRPC status ${named}, expected ${wanted}`);
  }
  if (code !== 0) return null;
  if (!body) return failure('protocol.invalid', 'gRPC status OK without an answer');
  if (health === null) return failure('protocol.invalid', 'the answer is no HealthCheckResponse');
  const said = healthName(health);
  if ((expect.status as readonly string[]).includes(said)) return null;
  return failure('expect.health', `the service is ${said}, expected ${expect.status.join(' or ')}`);
}

const healthName = (number: number): string => healthNames[number] ?? `${number}`;
