import type { TlsFacts } from '../../shared/result.ts';

const maxKept = 10_000;
let kept = new Map<string, { facts: TlsFacts; json: string }>();

/**
 * The facts as JSON text. An endpoint shows the same certificate for weeks, so the text is made once a certificate,
 * not once a row. All facts are compared: a fingerprint is only what some probe says.
 */
export function tlsFactsJson(facts: TlsFacts): string {
  const known = kept.get(facts.fingerprint);
  if (known && sameFacts(known.facts, facts)) return known.json;
  const { version, cipher, notAfter, issuer, fingerprint } = facts;
  const json = JSON.stringify({ version, cipher, notAfter, issuer, fingerprint });
  if (kept.size >= maxKept) kept = new Map();
  kept.set(fingerprint, { facts, json });
  return json;
}

function sameFacts(a: TlsFacts, b: TlsFacts): boolean {
  return (
    a.notAfter === b.notAfter && a.issuer === b.issuer && a.cipher === b.cipher && a.version === b.version
  );
}
