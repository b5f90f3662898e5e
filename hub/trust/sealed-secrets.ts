import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { canonicalJson } from '../../shared/assignment.ts';
import type { DocumentProblem } from '../../shared/document-problem.ts';
import type { EndpointDocument } from '../../shared/endpoint.ts';
import {
  isReference,
  isSecret,
  type SecretValue,
  sealableValues,
  sealedMark,
  secretField,
  withValue,
} from '../../shared/endpoint-secrets.ts';

/** Sealed values by their field: `request.bearer`, `request.headers.authorization`. */
export type Sealed = Readonly<Record<string, string>>;

/** A document in which `<sealed>` stands for what `sealed` holds: the form that is stored and shown. */
export interface SealedDocument {
  readonly spec: EndpointDocument;
  readonly sealed: Sealed;
}

/** AES-256-GCM under a key of its own from PARALLAX_SECRET; `place` is authenticated with the text. */
export interface SecretBox {
  seal(place: string, plain: string): string;
  /** Null where it was sealed for another place, with another key, or is damaged. */
  open(place: string, sealed: string): string | null;
}

const [ivBytes, tagBytes] = [12, 16];
const form = 'v1.';

/**
 * `secret`: 32 bytes. While it is changed, what is sealed with one of `also` opens too; sealed is with `secret` alone.
 */
export function createSecretBox(secret: Uint8Array, also: readonly Uint8Array[] = []): SecretBox {
  const first = boxOf(secret);
  if (also.length === 0) return first;
  const all = [first, ...also.map(boxOf)];
  return {
    seal: first.seal,
    open(place, sealed) {
      for (const box of all) {
        const plain = box.open(place, sealed);
        if (plain !== null) return plain;
      }
      return null;
    },
  };
}

function boxOf(secret: Uint8Array): SecretBox {
  if (secret.length !== 32) throw new RangeError(`PARALLAX_SECRET has ${secret.length} bytes instead of 32`);
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'parallax/sealed/v1', 32));
  return {
    seal(place, plain) {
      // Random nonces are safe for 2^32 values under one key (NIST SP 800-38D, 8.3): more than anybody edits.
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(place));
      const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
      return `${form}${Buffer.concat([iv, text, cipher.getAuthTag()]).toString('base64url')}`;
    },
    open(place, sealed) {
      const bytes = Buffer.from(sealed.slice(form.length), 'base64url');
      if (!sealed.startsWith(form) || bytes.length < ivBytes + tagBytes) return null;
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, ivBytes), {
        authTagLength: tagBytes,
      })
        .setAAD(Buffer.from(place))
        .setAuthTag(bytes.subarray(-tagBytes));
      try {
        return (
          decipher.update(bytes.subarray(ivBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8')
        );
      } catch {
        return null;
      }
    },
  };
}

/** Whom the secrets are sent to and how that is made sure: sealed values are bound to all of it. */
type Target = Readonly<Record<string, string | boolean | null>>;

function targetOf(document: EndpointDocument): Target {
  const { resolveTo, serverName, tls } = aimOf(document);
  return {
    'the origin of url': originOf(document.url),
    'request.resolveTo': resolveTo ?? null,
    'request.serverName': serverName ?? null,
    'request.tls.verify': tls?.verify ?? true,
    [encryption]: encryptionOf(aimOf(document)),
  };
}

const encryption = 'when TLS begins';

/** Of a tcp endpoint, what would have its steps go out in clear if it were taken away; null: nothing does. */
function encryptionOf({ secure, starttls, steps = [] }: Aim): string | null {
  if (secure) return 'secure';
  const step = steps.findIndex((one) => one.starttls);
  return starttls ?? (step < 0 ? null : `step ${step}`);
}

/** Of a request of any protocol: what says where it goes, under the same names in all that have it. */
interface Aim {
  readonly resolveTo?: string;
  readonly serverName?: string;
  readonly proxy?: string;
  readonly tls?: { readonly verify?: boolean; readonly ca?: string };
  readonly secure?: boolean;
  readonly starttls?: string;
  readonly steps?: readonly { readonly starttls?: boolean }[];
}
const aimOf = ({ request }: EndpointDocument): Aim => (request ?? {}) as Aim;

/** For all other fields; these two may be sealed themselves, bound to the rest. */
function wholeTargetOf(clear: EndpointDocument): Target {
  const { proxy, tls } = aimOf(clear);
  return {
    ...targetOf(clear),
    'request.proxy': proxy === undefined ? null : originOf(proxy),
    'request.tls.ca': tls?.ca ?? null,
  };
}
const partOfTarget: ReadonlySet<string> = new Set(['request.proxy', 'request.tls.ca']);

function originOf(text: string): string {
  const url = URL.parse(text);
  return url ? `${url.protocol}//${url.host}` : text;
}

function placeOf(endpointId: number, field: string, target: Target): string {
  // Where there is none it is left out, as in what was sealed before there were such endpoints.
  const { [encryption]: begins, ...rest } = target;
  const whole = begins === null ? rest : target;
  const bound = createHash('sha256').update(canonicalJson(whole)).digest('base64url');
  return JSON.stringify(['parallax/sealed', endpointId, field, bound]);
}

/** The document with its secrets in clear, and the fields that could not be opened (they keep their mark). */
export function openDocument(
  box: SecretBox,
  endpointId: number,
  { spec, sealed }: SealedDocument,
): { readonly clear: EndpointDocument; readonly lost: readonly string[] } {
  const lost: string[] = [];
  let clear = spec;
  const marked = sealableValues(spec).filter(({ value }) => value === sealedMark);
  for (const first of [true, false]) {
    const target = first ? targetOf(clear) : wholeTargetOf(clear);
    for (const { field, path } of marked.filter((one) => partOfTarget.has(one.field) === first)) {
      const plain = box.open(placeOf(endpointId, field, target), sealed[field] ?? '');
      if (plain === null) lost.push(field);
      else clear = withValue(clear, path, plain) as EndpointDocument;
    }
  }
  return { clear, lost };
}

/**
 * Seals the secrets of a document. `<sealed>` means "as it was": the value of `previous` is kept, unless it would be
 * sent elsewhere than it was given for. What was sealed stays sealed, and what did not change keeps its bytes, so that
 * equal content is an equal result.
 */
export function sealDocument(
  box: SecretBox,
  endpointId: number,
  written: EndpointDocument,
  previous: SealedDocument | null,
): SealedDocument | { readonly problems: readonly DocumentProblem[] } {
  const { secrets = [], ...document } = written;
  const named = new Set(secrets.map(secretField));
  const before = previous && openDocument(box, endpointId, previous);
  const problems: DocumentProblem[] = [];
  const sealed: Record<string, string> = {};
  let [spec, clear] = [document as EndpointDocument, document as EndpointDocument];
  const mustSeal = (one: SecretValue) =>
    one.value !== '' &&
    !isReference(one.value) &&
    (isSecret(one) || named.has(one.field) || previous?.sealed[one.field] !== undefined);
  for (const first of [true, false]) {
    const target = first ? targetOf(clear) : wholeTargetOf(clear);
    const was = before && (first ? targetOf(before.clear) : wholeTargetOf(before.clear));
    const moved = was ? Object.keys(target).filter((key) => target[key] !== was[key]) : [];
    const values = sealableValues(spec).filter((one) => partOfTarget.has(one.field) === first);
    for (const one of values) {
      const { field, path } = one;
      const marked = one.value === sealedMark;
      if (!marked && !mustSeal(one)) continue;
      const old = before && !before.lost.includes(field) ? clearValue(before.clear, field) : undefined;
      const kept = previous?.sealed[field];
      if (marked && (old === undefined || kept === undefined || moved.length > 0)) {
        const message =
          old !== undefined && kept !== undefined
            ? `give the secret again: it was given for another target (changed: ${moved.join(', ')})`
            : 'no value is sealed here: give it';
        problems.push({ path, message });
        continue;
      }
      const plain = marked ? (old ?? '') : one.value;
      const same = kept !== undefined && old === plain && moved.length === 0;
      sealed[field] = same ? kept : box.seal(placeOf(endpointId, field, target), plain);
      spec = withValue(spec, path, sealedMark) as EndpointDocument;
      clear = withValue(clear, path, plain) as EndpointDocument;
    }
  }
  return problems.length > 0 ? { problems } : { spec, sealed };
}

export interface Resealed {
  readonly sealed: Sealed;
  /** How many values were sealed with another secret before. */
  readonly changed: number;
  /** Fields that no secret here opens: they stay as they are. */
  readonly lost: readonly string[];
}

/** The same values, each sealed with `to` where it was not; what is sealed with it already keeps its bytes. */
export function resealDocument(
  from: SecretBox,
  to: SecretBox,
  endpointId: number,
  document: SealedDocument,
): Resealed {
  const { clear, lost } = openDocument(from, endpointId, document);
  const [target, whole] = [targetOf(clear), wholeTargetOf(clear)];
  const sealed: Record<string, string> = { ...document.sealed };
  let changed = 0;
  for (const { field, value } of sealableValues(clear)) {
    const old = document.sealed[field];
    if (old === undefined || lost.includes(field)) continue;
    const place = placeOf(endpointId, field, partOfTarget.has(field) ? target : whole);
    if (to.open(place, old) !== null) continue;
    sealed[field] = to.seal(place, value);
    changed += 1;
  }
  return { sealed, changed, lost };
}

function clearValue(document: EndpointDocument, field: string): string | undefined {
  return sealableValues(document).find((one) => one.field === field)?.value;
}
