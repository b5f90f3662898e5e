import * as z from 'zod';
import { sealedMark } from './endpoint-secrets.ts';

/** Fields of `request` that several protocols have. */

/** A value that is given, rather than sealed or found by the probe. */
export function isGiven(text: string): boolean {
  return text !== sealedMark && !/\$\{(probe|env):/.test(text);
}

function pem(label: RegExp, what: string) {
  const begin = new RegExp(`-----BEGIN ${label.source}-----[\\s\\S]+-----END ${label.source}-----`);
  return z
    .string()
    .max(65_536)
    .refine((text) => !isGiven(text) || begin.test(text), `is not ${what} in PEM form (-----BEGIN …)`);
}
const certificates = pem(/(?:TRUSTED |X509 )?CERTIFICATE/, 'a certificate');

/** One of some words that look like numbers, which YAML then reads as such: 4 is '4', 1.0 is '1.0'. */
export function versionOf<const Words extends readonly string[]>(words: Words) {
  return z.codec(z.union([z.string(), z.number()]), z.enum(words), {
    decode: (written) => {
      const found = words.find((word) => word === written || Number(word) === written);
      // What is none of them is refused by the enum.
      return (found ?? String(written)) as Words[number];
    },
    encode: (word) => word as string,
  });
}

/** How the target is found: which family of addresses, or one address in place of what DNS says. */
export const reachFields = {
  ipFamily: versionOf(['any', '4', '6']).default('any'),
  resolveTo: z
    .string()
    .refine(
      (text) => [z.ipv4(), z.ipv6()].some((form) => form.safeParse(text).success),
      'is not an IP address',
    )
    .optional(),
};

/** For SNI and the certificate's name, where it is not the URL's host. */
export const serverNameField = z.hostname().optional();

export const tlsField = z
  .strictObject({
    verify: z.boolean().default(true),
    ca: certificates.optional(),
    cert: certificates.optional(),
    key: pem(/(?:[A-Z]+ )*PRIVATE KEY/, 'a private key').optional(),
    minVersion: versionOf(['1.0', '1.1', '1.2', '1.3']).default('1.2'),
  })
  .prefault({});
export type TlsRequest = z.output<typeof tlsField>;

export function* tlsConflicts(tls: TlsRequest): Generator<{ path: readonly string[]; message: string }> {
  if ((tls.cert === undefined) === (tls.key === undefined)) return;
  const [has, lacks] = tls.cert === undefined ? ['key', 'cert'] : ['cert', 'key'];
  yield { path: ['request', 'tls', lacks], message: `is missing: tls.${has} needs it` };
}
