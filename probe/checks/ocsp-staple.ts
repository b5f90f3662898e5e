import { type DerElement, derElements, derTags } from './der.ts';

/** What a stapled OCSP response says of the certificate (RFC 6960, section 4.2.1). Its signature is not verified. */
export interface OcspStaple {
  readonly status: 'good' | 'revoked' | 'unknown';
  /** Epoch seconds; null: it names none. */
  readonly thisUpdate: number | null;
  readonly nextUpdate: number | null;
}

const basicResponse = '2b0601050507300101';
const statuses: Readonly<Record<number, OcspStaple['status']>> = {
  128: 'good',
  161: 'revoked',
  130: 'unknown',
};

/** Null where it is no successful basic response. Of several answers the first, as servers staple one. */
export function readStaple(der: Buffer): OcspStaple | null {
  const [outer] = derElements(der) ?? [];
  const [state, wrapped] = within(outer, derTags.sequence);
  if (state?.tag !== derTags.enumerated || state.content[0] !== 0) return null;
  const [bytes] = within(wrapped, 0xa0);
  const [type, response] = within(bytes, derTags.sequence);
  if (type?.tag !== derTags.oid || type.content.toString('hex') !== basicResponse) return null;
  const [basic] = response?.tag === derTags.octets ? (derElements(response.content) ?? []) : [];
  const [data] = within(basic, derTags.sequence);
  // A version and who responds come first, then when, then the answers.
  const answers = within(data, derTags.sequence).find(({ tag }) => tag === derTags.sequence);
  const [answer] = within(answers, derTags.sequence);
  const [, status, thisUpdate, ...rest] = within(answer, derTags.sequence);
  const said = statuses[status?.tag ?? 0];
  if (said === undefined) return null;
  const [nextUpdate] = within(rest[0], 0xa0);
  return { status: said, thisUpdate: timeOf(thisUpdate), nextUpdate: timeOf(nextUpdate) };
}

function within(element: DerElement | undefined, tag: number): readonly DerElement[] {
  return element?.tag === tag ? (derElements(element.content) ?? []) : [];
}

/** GeneralizedTime as DER has it: 20260101120000Z. */
function timeOf(element: DerElement | undefined): number | null {
  if (element?.tag !== derTags.time) return null;
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?Z$/.exec(element.content.toString('latin1'));
  if (!parts) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
}
