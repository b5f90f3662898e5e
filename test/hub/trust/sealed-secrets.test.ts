import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  createSecretBox,
  openDocument,
  type SealedDocument,
  sealDocument,
} from '../../../hub/trust/sealed-secrets.ts';
import type { EndpointDocument, EndpointDocumentOf } from '../../../shared/endpoint.ts';

const secret = randomBytes(32);
const box = createSecretBox(secret);
const document: EndpointDocument = {
  name: 'shop',
  url: 'https://shop.example/health',
  request: { bearer: 'one', body: 'two', headers: { Cookie: 'three' }, proxy: 'http://u:four@proxy.example' },
};
const fields = ['request.headers.cookie', 'request.body', 'request.bearer', 'request.proxy'];

function sealed(written: EndpointDocument, id = 7): SealedDocument {
  const made = sealDocument(box, id, written, null);
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  return made;
}

test('what is sealed is opened again, for any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.string(), (plain, place) => {
      const text = box.seal(place, plain);
      expect(box.open(place, text)).toBe(plain.toWellFormed());
      expect(box.open(`${place}.`, text)).toBeNull();
      expect(createSecretBox(randomBytes(32)).open(place, text)).toBeNull();
    }),
  );
});

test('any byte changed, cut off or added is noticed, and nonsense is no error', () => {
  const bytes = Buffer.from(box.seal('place', 'secret').slice(3), 'base64url');
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(box.open('place', `v1.${changed.toString('base64url')}`)).toBeNull();
    expect(box.open('place', `v1.${bytes.subarray(0, at).toString('base64url')}`)).toBeNull();
  }
  for (const text of ['', 'v1.', 'v2.abc', 'abc', `v1.${bytes.toString('base64url')}AAAA`]) {
    expect(box.open('place', text)).toBeNull();
  }
});

test('a document is opened as it was written', () => {
  const { clear, lost } = openDocument(box, 7, sealed(document));
  expect([clear, lost]).toEqual([document, []]);
});

test('nothing opens under another endpoint', () => {
  expect(openDocument(box, 8, sealed(document)).lost.toSorted()).toEqual(fields.toSorted());
});

test('nothing opens in the place of another', () => {
  const before = sealed(document);
  // All but the proxy: where that is lost, everything is.
  const values = Object.entries(before.sealed).filter(([field]) => field !== 'request.proxy');
  const rotated = values.map(([field], index) => [field, values[(index + 1) % values.length]?.[1] ?? '']);
  const swapped = { ...before, sealed: { ...before.sealed, ...Object.fromEntries(rotated) } };
  expect(openDocument(box, 7, swapped).lost.toSorted()).toEqual(values.map(([field]) => field).toSorted());
});

test.each<[what: string, moved: NonNullable<EndpointDocumentOf<'http'>['request']> | { url: string }]>([
  ['origin', { url: 'https://evil.example/health' }],
  ['address', { resolveTo: '203.0.113.66' }],
  ['verification', { tls: { verify: false } }],
  ['server name', { serverName: 'evil.example' }],
])('nothing opens for another %s, even where the stored document says so', (_what, moved) => {
  const { spec, sealed: values } = sealed(document);
  const url = 'url' in moved ? moved.url : spec.url;
  const request = { ...spec.request, ...('url' in moved ? {} : moved) };
  const { clear, lost } = openDocument(box, 7, {
    spec: { ...spec, url, request } as EndpointDocument,
    sealed: values,
  });
  expect(lost.toSorted()).toEqual(fields.toSorted());
  expect(JSON.stringify(clear)).not.toMatch(/one|two|three|four/);
});

test('all but the proxy itself are bound to it', () => {
  const { spec, sealed: values } = sealed(document);
  const direct = {
    ...spec,
    request: { ...spec.request, proxy: 'http://evil.example' },
  } as EndpointDocument;
  expect(openDocument(box, 7, { spec: direct, sealed: values }).lost.toSorted()).toEqual(
    fields.filter((field) => field !== 'request.proxy').sort(),
  );
});

test.each<[EndpointDocumentOf<'tcp'>['request'], EndpointDocumentOf<'tcp'>['request']]>([
  [{ secure: true }, { secure: false }],
  [{ starttls: 'smtp' }, {}],
  [
    { steps: [{ send: 'a', starttls: true }, { send: 'word' }] },
    { steps: [{ send: 'a' }, { send: 'word' }] },
  ],
  [
    { steps: [{ starttls: true }, { send: 'word' }] },
    { steps: [{ send: 'a' }, { send: 'word', starttls: true }] },
  ],
])('what a step sends under TLS (%j) is not opened where TLS begins elsewhere (%j)', (request, weaker) => {
  const secrets = ['request.steps.1.send'];
  const steps = request?.steps ?? [{ send: 'a' }, { send: 'word' }];
  const mail = { name: 'mail', url: 'tcp://mail.example:587', request: { ...request, steps } };
  const made = sealed({ ...mail, secrets } as EndpointDocument);
  expect(openDocument(box, 7, made)).toEqual({ clear: mail, lost: [] });
  const other = { ...weaker, steps: (weaker?.steps ?? steps).map((step) => ({ ...step })) };
  other.steps[1] = { ...other.steps[1], send: '<sealed>' };
  const written = { ...mail, request: other } as EndpointDocument;
  expect(openDocument(box, 7, { spec: written, sealed: made.sealed }).lost).toEqual(secrets);
  const again = sealDocument(box, 7, written, made);
  expect(JSON.stringify(again)).toContain('given for another target (changed: when TLS begins)');
});

test('the path on the same origin is not what secrets are bound to', () => {
  const { spec, sealed: values } = sealed(document);
  const elsewhere = { ...spec, url: 'https://shop.example:443/other' };
  expect(openDocument(box, 7, { spec: elsewhere, sealed: values }).lost).toEqual([]);
});
