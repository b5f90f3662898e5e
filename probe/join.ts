import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { Failed } from '../shared/command-line.ts';
import type { ProbeConfig } from './config.ts';
import { enroll, readToken } from './hub/enroll.ts';
import { followHub } from './hub/follow-hub.ts';
import { openHubLink } from './hub/open-hub-link.ts';
import { openCache } from './state/cache.ts';
import type { DataFolder } from './state/data-folder.ts';
import { type Enrolled, readIdentity, writeIdentity } from './state/identity-file.ts';
import { makeKey, readKey } from './state/key.ts';
import { runtime, version } from './version.ts';

/** Who this probe is: what the folder says, or what a token makes of it. */
export interface Joined {
  readonly enrolled: Enrolled;
  readonly key: KeyObject;
  /** By the token, just now. */
  readonly anew: boolean;
}

export interface JoinOptions {
  readonly config: ProbeConfig;
  readonly folder: DataFolder;
  /** PEM of `--hub-ca`. */
  readonly ca: string | null;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The token is asked for once: a folder that enrolled needs none. Throws Failed with what to do. */
export async function join(options: JoinOptions): Promise<Joined> {
  const { folder } = options;
  const enrolled = await readIdentity(folder);
  const key = await readKey(folder);
  if (!enrolled) return enrollAnew(options);
  if (!key || key.kid !== enrolled.kid) {
    throw new Failed(
      `${folder.key} ${key ? 'is not the key that enrolled' : 'is gone'}: put it back from a backup, or empty ${folder.path} and enroll anew with a new token`,
    );
  }
  if (enrolled.revoked) {
    throw new Failed(
      `the hub revoked this probe on ${enrolled.revoked.at} (${enrolled.revoked.reason}): to enroll anew, empty ${folder.path} and give a new token`,
    );
  }
  const { config, ca, log, signal } = options;
  const own = { enrolled, folder, key: key.privateKey, ca, log, signal };
  return {
    enrolled: await followHub({ ...own, dial: config.hub, env: config.env }),
    key: key.privateKey,
    anew: false,
  };
}

async function enrollAnew({ config, folder, ca, log, signal }: JoinOptions): Promise<Joined> {
  const token = await givenToken(config);
  const claims = readToken(token);
  const hub = claims.iss.replace(/\/+$/, '');
  if (config.hub !== null && new URL(config.hub).origin !== new URL(hub).origin) {
    log.warn({ dialled: config.hub, hub }, 'the token names the hub by another address than --hub');
  }
  // Made once: a retry after a lost answer is the same enrollment only with the same key.
  const { privateKey, jwk, kid } = (await readKey(folder)) ?? (await makeKey(folder));
  const link = openHubLink({ dial: config.hub ?? hub, hub, key: privateKey, kid, env: config.env, ca });
  try {
    log.info({ hub, region: claims.region }, 'enrolling');
    const request = { key: jwk, name: config.name, version, runtime: runtime() };
    const dialled = config.hub ?? hub;
    const { answer, keySet, document } = await enroll({
      link,
      dialled,
      token,
      claims,
      request,
      log,
      signal,
    });
    await openCache(folder).writeKeySet({ root: keySet.root, version: keySet.version, document });
    const enrolled: Enrolled = {
      probeId: answer.probeId,
      region: { id: answer.region.id, name: answer.region.name },
      hub,
      root: claims.root,
      kid,
      enrolledAt: new Date().toISOString(),
      revoked: null,
    };
    await writeIdentity(folder, enrolled);
    log.info({ probe: answer.probeId, region: answer.region.name, status: answer.status }, 'enrolled');
    if (answer.status === 'pending') {
      log.warn(`an operator has to approve this probe: parallax probes approve ${answer.probeId}`);
    }
    return { enrolled, key: privateKey, anew: true };
  } finally {
    await link.close();
  }
}

async function givenToken({ token, dataDir }: ProbeConfig): Promise<string> {
  if (!token) {
    throw new Failed(
      `${dataDir} holds no identity yet: give the enrollment token with --token-file FILE (an operator makes one with \`parallax enroll --region REGION\`)`,
    );
  }
  if ('text' in token) return token.text.trim();
  const text = await readFile(token.file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Failed(
      `--token-file ${token.file}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
    );
  });
  return text.trim();
}
