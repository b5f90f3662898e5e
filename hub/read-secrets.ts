import { type Settings, secretSetting } from './settings.ts';

const secret = secretSetting(
  '32 bytes in base64 or hex: make one with `openssl rand -base64 32`',
  secretFrom,
);
const several = secretSetting('secrets of 32 bytes in base64 or hex, parted by commas', (text) => {
  const all = text.split(',').map((one) => secretFrom(one.trim()));
  const good = all.filter((one) => one !== null);
  return good.length === all.length ? good : null;
});

export interface Secrets {
  /** What seals; undefined where it is missing, which settle() complains of. */
  readonly secret: Uint8Array | undefined;
  /** What opens too, while the secret is changed. */
  readonly alsoSecrets: readonly Uint8Array[];
}

export function readSecrets(settings: Settings): Secrets {
  return {
    secret: settings.need(
      { variable: 'PARALLAX_SECRET', orFile: true },
      secret,
      'it seals credentials at rest: keep the output of `openssl rand -base64 32` in it',
    ),
    alsoSecrets: settings.read({ variable: 'PARALLAX_SECRET_ALSO', orFile: true }, several, []),
  };
}

function secretFrom(text: string): Uint8Array | null {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === 32 ? bytes : null;
}
