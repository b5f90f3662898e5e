/** `${probe:NAME}` stands for a variable of the probe's own environment: what it holds never leaves the private network. */
const reference = /\$\{probe:([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** The probe's own credentials, and the hub's: an endpoint must not be able to send them anywhere. */
const kept = /^PARALLAX_|^KAFKA_|^DATABASE_URL$/;

export type Environment = Readonly<Record<string, string | undefined>>;

/** An endpoint needs what this probe does not have: the message says which variable to set. */
export class ProbeValueError extends Error {}

export function resolveProbeValues(text: string, env: Environment): string {
  if (!text.includes('${probe:')) return text;
  return text.replace(reference, (_, name: string) => {
    if (kept.test(name))
      throw new ProbeValueError(
        `\${probe:${name}} is one of the probe's own settings: no endpoint may use it`,
      );
    const value = env[name];
    if (value === undefined)
      throw new ProbeValueError(`\${probe:${name}} is not set in the environment of this probe`);
    return value;
  });
}
