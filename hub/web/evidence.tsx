import { printable } from '../../shared/command-line.ts';
import type { Evidence } from '../../shared/evidence.ts';
import { dayTime } from './figures.ts';

/** What was seen of a failure. All of it is strangers' text: shown as text, each piece in its own place and capped in height. */
export const EvidenceParts = ({ evidence }: { evidence: Evidence }) => {
  const { request, response, certificates } = evidence;
  return (
    <div class="evidence">
      <PlaceFacts evidence={evidence} />
      {request && (
        <Piece title="Request as sent">
          {[
            `${request.method} ${request.url}`,
            ...fields(request.headers),
            ...(request.bodyBytes > 0 ? ['', `(a body of ${request.bodyBytes} bytes, not shown)`] : []),
          ]}
        </Piece>
      )}
      {response && (
        <Piece title="Head of the answer">
          {[...(response.status === null ? [] : [String(response.status)]), ...fields(response.headers)]}
        </Piece>
      )}
      {response?.body != null && (
        <Piece title="Beginning of the body">{response.body.split(/\r\n|[\r\n]/)}</Piece>
      )}
      {certificates.length > 0 && (
        <Piece title="Certificates as sent">
          {certificates.flatMap(({ subject, issuer, notAfter, sha256 }, depth) => [
            `${depth} ${subject}`,
            `  by ${issuer}`,
            `  until ${instantText(notAfter)}`,
            `  ${sha256}`,
          ])}
        </Piece>
      )}
    </div>
  );
};

const PlaceFacts = ({ evidence }: { evidence: Evidence }) => {
  const { phase, errno, resolver, addresses, address, traceId } = evidence;
  const facts: (readonly [string, string | null])[] = [
    ['Reached', phase],
    ['Errno', errno],
    ['Resolved', addresses.length > 0 ? addresses.join(', ') : null],
    ['Resolver', resolver],
    ['Dialled', address],
    ['Trace', traceId],
  ];
  return (
    <dl class="dl">
      {facts.flatMap(([name, text]) =>
        text === null
          ? []
          : [
              <dt>{name}</dt>,
              <dd>
                <code>
                  <bdi>{printable(text)}</bdi>
                </code>
              </dd>,
            ],
      )}
    </dl>
  );
};

const fields = (headers: readonly (readonly string[])[]) =>
  headers.map(([name = '', value = '']) => `${name}: ${value}`);

/** Long ones scroll in their own place: the keyboard gets there, too. */
const Piece = (props: { title: string; children: readonly string[] }) => (
  <>
    <h3 class="sub">{props.title}</h3>
    <pre class="strange" tabindex={0}>
      {props.children.map((line) => printable(line)).join('\n')}
    </pre>
  </>
);

/** Epoch seconds from a certificate, which may hold any. */
export function instantText(seconds: number): string {
  return Number.isFinite(seconds) && Math.abs(seconds) < 8.64e12 ? dayTime(seconds) : String(seconds);
}
