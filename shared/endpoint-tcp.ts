import * as z from 'zod';
import { duration } from './duration.ts';
import { type Pattern, patternGroups, patternProblem, patternSchema } from './pattern.ts';
import type { Conflict, ProtocolRules } from './protocol-rules.ts';
import { isGiven, reachFields, serverNameField, tlsConflicts, tlsField } from './request-parts.ts';
import { capturesOf, sendParts } from './send-template.ts';
import { socketPlaceOf } from './socket-url.ts';
import { starttlsNames } from './starttls.ts';

/** What a tcp endpoint may ask: a connection, TLS over it, and lines or bytes in steps. */
const hex = z
  .string()
  .max(131_072)
  .regex(/^(?:[0-9a-fA-F]{2})*$/, 'is not bytes in hexadecimal, like 00ff10');

const template = z
  .string()
  .max(65_536)
  .superRefine((text, context) => {
    if (!isGiven(text)) return;
    const parts = sendParts(text);
    if ('problem' in parts) context.addIssue({ code: 'custom', message: parts.problem });
  });

export const tcpStepSchema = z
  .strictObject({
    /** Text with escapes and captures (send-template.ts). No end of line is added. */
    send: template.optional(),
    sendHex: hex.optional(),
    /** After what is sent, lines are read until one matches. Its own end of line is no part of a line. */
    expect: patternSchema.optional(),
    /** Bytes are read until these have come. */
    expectHex: hex.min(2, 'names no byte').optional(),
    /** Last of all, the connection changes to TLS. */
    starttls: z.boolean().default(false),
  })
  .superRefine((step, context) => {
    const given = [step.send, step.sendHex, step.expect, step.expectHex];
    const wrong =
      given.every((value) => value === undefined) && !step.starttls
        ? 'a step does something: send, sendHex, expect, expectHex or starttls'
        : step.send !== undefined && step.sendHex !== undefined
          ? 'a step sends once: send or sendHex'
          : step.expect !== undefined && step.expectHex !== undefined
            ? 'a step expects one thing: expect or expectHex'
            : null;
    if (wrong) context.addIssue({ code: 'custom', message: wrong });
  });
export type TcpStep = z.output<typeof tcpStepSchema>;

/** By a preset, before any step. */
export const starttlsField = z.enum(starttlsNames).optional();

export const tcpRequestSchema = z.strictObject({
  /** TLS from the first byte. */
  secure: z.boolean().default(false),
  starttls: starttlsField,
  /** Once the connection stands, one after the other. */
  steps: z.array(tcpStepSchema).max(20).default([]),
  /** Whether what the server says (banner, captures, the last line of a failure) stands in the result. */
  recordText: z.boolean().default(true),
  ...reachFields,
  serverName: serverNameField,
  tls: tlsField,
});
export type TcpRequest = z.output<typeof tcpRequestSchema>;

const patterns = z.array(patternSchema).max(20).default([]);

export const tcpExpectSchema = z.strictObject({
  /** The first line that the server sends by itself, before anything is sent to it. */
  banner: z.strictObject({ matches: patterns, notMatches: patterns }).prefault({}),
  tls: z.enum(['required', 'forbidden', 'any']).default('any'),
  certDays: z.int().min(0).max(3650).default(14),
  slowerThan: duration('1ms', '10m').optional(),
});
export type TcpExpect = z.output<typeof tcpExpectSchema>;

function* tcpConflicts(request: TcpRequest, expect: TcpExpect): Generator<Conflict> {
  const { secure, starttls, steps, serverName, tls } = request;
  yield* tlsConflicts(tls);
  const upgrades = steps.flatMap((step, at) => (step.starttls ? [at] : []));
  if (secure && starttls !== undefined)
    yield { path: ['request', 'starttls'], message: 'has no use beside secure: TLS is there from the start' };
  const before = secure ? 'secure' : starttls !== undefined ? 'starttls' : 'an earlier step';
  const late = before === 'an earlier step' ? upgrades.slice(1) : upgrades;
  for (const at of late)
    yield { path: ['request', 'steps', at, 'starttls'], message: `has no use after ${before}: TLS is there` };
  const encrypted = secure || starttls !== undefined || upgrades.length > 0;
  if (serverName !== undefined && !encrypted)
    yield { path: ['request', 'serverName'], message: 'is for TLS: it needs secure or starttls' };
  const { matches, notMatches } = expect.banner;
  if (steps[0]?.starttls && Object.keys(steps[0]).length === 1 && matches.length + notMatches.length > 0)
    yield { path: ['expect', 'banner'], message: 'comes before steps, and the first of them is TLS at once' };
  yield* unknownCaptures(steps);
}

/** A capture must have been caught by a step before. */
function* unknownCaptures(steps: readonly TcpStep[]): Generator<Conflict> {
  const names = new Set<string>();
  let latest: Pattern | undefined;
  for (const [at, { send, expect }] of steps.entries()) {
    for (const capture of capturesOf(send ?? '')) {
      const isNumber = /^\d/.test(capture);
      const known = isNumber
        ? latest !== undefined && Number(capture) <= patternGroups(latest).count
        : names.has(capture);
      if (known) continue;
      const message = isNumber
        ? `\${${capture}} is no group of the expect before this step`
        : `\${${capture}} is no named group, (?P<${capture}>…), of an earlier expect`;
      yield { path: ['request', 'steps', at, 'send'], message };
    }
    if (!expect) continue;
    // What is wrong with it is said already, and what it would capture is not known.
    if (patternProblem(expect) !== null) return;
    latest = expect;
    for (const name of patternGroups(expect).names) names.add(name);
  }
}

export const tcpRules = {
  schemes: ['tcp'],
  request: tcpRequestSchema,
  expect: tcpExpectSchema,
  url(url) {
    const place = socketPlaceOf(url, null);
    return 'problem' in place ? place.problem : null;
  },
  conflicts: ({ request, expect }) => tcpConflicts(request, expect),
} as const satisfies ProtocolRules<typeof tcpRequestSchema, typeof tcpExpectSchema>;
