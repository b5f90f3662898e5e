import * as z from 'zod';
import { byteSize, duration } from './duration.ts';
import {
  credentialConflicts,
  headerExpectationsField,
  headersField,
  statusPattern,
} from './endpoint-http.ts';
import { patternSchema } from './pattern.ts';
import type { Conflict, ProtocolRules } from './protocol-rules.ts';
import { reachFields, serverNameField, tlsConflicts, tlsField } from './request-parts.ts';

/** What a ws(s) endpoint may ask: the handshake of RFC 6455, then messages in steps. */
const hex = z
  .string()
  .max(131_072)
  .regex(/^(?:[0-9a-fA-F]{2})*$/, 'is not bytes in hexadecimal, like 00ff10');

const subprotocol = z
  .string()
  .max(100)
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'is not the name of a subprotocol (RFC 9110 token)');

export const wsStepSchema = z
  .strictObject({
    /** One text message. */
    send: z.string().max(65_536).optional(),
    /** One binary message. */
    sendHex: hex.optional(),
    /** Text messages are read until one matches. */
    expect: patternSchema.optional(),
    /** Binary messages are read until one holds these bytes. */
    expectHex: hex.min(2, 'names no byte').optional(),
  })
  .superRefine((step, context) => {
    const wrong = Object.values(step).every((value) => value === undefined)
      ? 'a step sends or expects something: send, sendHex, expect or expectHex'
      : step.send !== undefined && step.sendHex !== undefined
        ? 'a step sends one message: send or sendHex'
        : step.expect !== undefined && step.expectHex !== undefined
          ? 'a step expects one message: expect or expectHex'
          : null;
    if (wrong) context.addIssue({ code: 'custom', message: wrong });
  });
export type WsStep = z.output<typeof wsStepSchema>;

/** Codes that a client may close with (RFC 6455, section 7.4): 1000, or the application's own. */
const ownCloseCode = z
  .int()
  .refine((code) => code === 1000 || (code >= 3000 && code <= 4999), 'is 1000 or a code from 3000 to 4999');

export const wsRequestSchema = z.strictObject({
  /** Of the handshake; `Origin` among them. */
  headers: headersField.default({}),
  basicAuth: z.strictObject({ username: z.string().max(1024), password: z.string().max(1024) }).optional(),
  bearer: z.string().max(8192).optional(),
  /** Offered in this order. */
  subprotocols: z.array(subprotocol).max(20).default([]),
  /** `deflate` offers permessage-deflate (RFC 7692). */
  compression: z.enum(['none', 'deflate']).default('none'),
  /** After the handshake, one after the other. */
  steps: z.array(wsStepSchema).max(20).default([]),
  /** Closes with this code after the last step and waits for the server's own close. */
  closeWith: ownCloseCode.optional(),
  ...reachFields,
  serverName: serverNameField,
  tls: tlsField,
});
export type WsRequest = z.output<typeof wsRequestSchema>;

export const wsExpectSchema = z.strictObject({
  /** Of the handshake's answer; where it is not 101 the check ends there. */
  status: z.array(statusPattern).min(1).default(['101']),
  /** That the server chose. */
  subprotocol: subprotocol.optional(),
  headers: headerExpectationsField,
  /** That the server closes with, by itself or in answer to `closeWith`. 1005: a close without a code. */
  closeCode: z.int().min(1000).max(4999).optional(),
  /** Of one message; a longer one fails the check. */
  maxMessageBytes: byteSize('1MiB').default(65_536),
  certDays: z.int().min(0).max(3650).default(14),
  slowerThan: duration('1ms', '10m').optional(),
});
export type WsExpect = z.output<typeof wsExpectSchema>;

function* wsConflicts(request: WsRequest, expect: WsExpect): Generator<Conflict> {
  yield* credentialConflicts(request);
  yield* tlsConflicts(request.tls);
  for (const name of Object.keys(request.headers)) {
    if (/^sec-websocket-/i.test(name))
      yield { path: ['request', 'headers', name], message: 'is written by the probe itself' };
  }
  const offered = request.subprotocols;
  if (expect.subprotocol !== undefined && !offered.includes(expect.subprotocol))
    yield {
      path: ['expect', 'subprotocol'],
      message: 'is not among request.subprotocols: no server may choose it',
    };
  if (expect.status.some((pattern) => opens(pattern))) return;
  for (const [path, given] of [
    [['request', 'steps'], request.steps.length > 0],
    [['request', 'closeWith'], request.closeWith !== undefined],
    [['expect', 'closeCode'], expect.closeCode !== undefined],
  ] as const) {
    if (given) yield { path, message: 'comes after status 101, which expect.status leaves out' };
  }
}

/** Whether the status 101 is one that this pattern expects. */
function opens(pattern: string): boolean {
  const [first = '', last = first] = pattern.split('-');
  return pattern === '1xx' || (Number(first) <= 101 && Number(last) >= 101);
}

export const wsRules = {
  schemes: ['ws', 'wss'],
  evidence: ['trace'],
  request: wsRequestSchema,
  expect: wsExpectSchema,
  url: (url) => (url.hostname === '' ? 'the URL has no host' : url.hash ? 'a ws URL has no fragment' : null),
  conflicts: ({ request, expect }) => wsConflicts(request, expect),
} as const satisfies ProtocolRules<typeof wsRequestSchema, typeof wsExpectSchema>;
