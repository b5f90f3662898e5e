import { paint, printable, type Terminal } from './command-line.ts';
import type { Evidence } from './evidence.ts';

/** What was seen of a failure, for a terminal: how far it came, what went out, what came back. */
export function evidenceLines(terminal: Terminal, evidence: Evidence): string[] {
  return [
    ...placeLines(evidence),
    ...requestLines(terminal, evidence),
    ...responseLines(terminal, evidence),
    ...certificateLines(terminal, evidence),
  ];
}

const labelWidth = 11;

function labelled(label: string, text: string): string {
  return `  ${label.padEnd(labelWidth)}${printable(text)}`;
}

function placeLines({ phase, errno, resolver, addresses, address, traceId }: Evidence): string[] {
  return [
    ...(phase === null ? [] : [labelled('reached', errno === null ? phase : `${phase} (${errno})`)]),
    ...(addresses.length === 0 ? [] : [labelled('resolved', addresses.join(', '))]),
    ...(resolver === null ? [] : [labelled('by', resolver)]),
    ...(address === null ? [] : [labelled('dialled', address)]),
    ...(traceId === null ? [] : [labelled('trace', traceId)]),
  ];
}

function requestLines(terminal: Terminal, { request }: Evidence): string[] {
  if (!request) return [];
  const { method, url, headers, bodyBytes } = request;
  const body = bodyBytes > 0 ? [`  > (a body of ${bodyBytes} bytes)`] : [];
  return ['', marked(terminal, '>', `${method} ${url}`), ...fields(terminal, '>', headers), ...body];
}

function responseLines(terminal: Terminal, { response }: Evidence): string[] {
  if (!response) return [];
  const { status, headers, body } = response;
  const text = body === null ? [] : ['', ...body.split(/\r\n|[\r\n]/).map((line) => `  ${printable(line)}`)];
  return [
    '',
    ...(status === null ? [] : [marked(terminal, '<', String(status))]),
    ...fields(terminal, '<', headers),
    ...text,
  ];
}

function marked(terminal: Terminal, mark: string, text: string): string {
  return `  ${mark} ${paint(terminal, 'bold', printable(text))}`;
}

function fields(terminal: Terminal, mark: string, headers: readonly (readonly string[])[]) {
  return headers.map(
    ([name = '', value = '']) =>
      `  ${mark} ${paint(terminal, 'cyan', `${printable(name)}:`)} ${printable(value)}`,
  );
}

function certificateLines(terminal: Terminal, { certificates }: Evidence): string[] {
  if (certificates.length === 0) return [];
  const drawn = certificates.flatMap(({ subject, issuer, notAfter, sha256 }, depth) => [
    `  ${depth} ${printable(subject)}, until ${new Date(notAfter * 1000).toISOString().slice(0, 10)}`,
    `    by ${printable(issuer)}`,
    `    ${paint(terminal, 'dim', sha256)}`,
  ]);
  return ['', ...drawn];
}
