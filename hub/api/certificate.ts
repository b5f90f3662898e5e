import { X509Certificate } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Throws one line that names the file and what is wrong with it. */
export async function readCertificate(files: CertificateFiles, nowMs: number): Promise<Certificate> {
  const [cert, key] = await Promise.all([
    read('--tls-cert', files.certFile),
    read('--tls-key', files.keyFile),
  ]);
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(cert);
  } catch {
    throw new Error(`--tls-cert ${files.certFile} holds no certificate in PEM`);
  }
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const why = /mismatch/i.test(reason)
      ? `is not the key of ${files.certFile}`
      : 'holds no private key in PEM';
    throw new Error(`--tls-key ${files.keyFile} ${why}`, { cause: error });
  }
  if (leaf.validToDate.getTime() <= nowMs) {
    throw new Error(`--tls-cert ${files.certFile} expired on ${leaf.validToDate.toISOString().slice(0, 10)}`);
  }
  return { cert, key };
}

async function read(flag: string, file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${flag} ${file}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`);
  });
}

export interface CertificateWatch {
  stop(): void;
}

export interface WatchOptions {
  readonly files: CertificateFiles;
  readonly first: Certificate;
  readonly use: (certificate: Certificate) => void;
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly clockMs: () => number;
  /** Some filesystems tell nothing: it is looked at again so often in any case. */
  readonly pollMs?: number;
}

/** cert and key are renewed one after the other: what does not fit yet is looked at again. */
const settleMs = 200;

/** Takes a new certificate into use when its files change; one that is broken is said so, and the old one stays. */
export function watchCertificate(options: WatchOptions): CertificateWatch {
  const { files, first, use, log, clockMs, pollMs = 60_000 } = options;
  let inUse = first;
  let complained = '';
  let settling: NodeJS.Timeout | undefined;
  let looking = Promise.resolve();

  async function look(): Promise<void> {
    try {
      const found = await readCertificate(files, clockMs());
      complained = '';
      if (found.cert === inUse.cert && found.key === inUse.key) return;
      use(found);
      inUse = found;
      log.info({ certFile: files.certFile }, 'the new TLS certificate is in use');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== complained) log.error(`${why}: the old TLS certificate stays in use`);
      complained = why;
    }
  }
  const lookSoon = () => {
    // Not begun anew by each change: a busy folder must not put it off for ever.
    settling ??= setTimeout(() => {
      settling = undefined;
      looking = looking.then(look);
    }, settleMs);
  };
  const timer = setInterval(lookSoon, pollMs);
  // The folders, not the files: a renewal puts new files, or a link to new ones, in their place.
  const watchers = new Set([files.certFile, files.keyFile].map((file) => dirname(file)));
  const watching = [...watchers].map((folder) => watchFolder(folder, files, lookSoon));
  return {
    stop() {
      clearInterval(timer);
      clearTimeout(settling);
      for (const watcher of watching) watcher?.close();
    },
  };
}

function watchFolder(folder: string, files: CertificateFiles, changed: () => void): FSWatcher | null {
  const names = new Set([basename(files.certFile), basename(files.keyFile)]);
  try {
    const watcher = watch(folder, { persistent: false }, (_, name) => {
      // Kubernetes swaps a hidden link (..data) and leaves the named files as they were.
      if (name === null || names.has(name) || name.startsWith('..')) changed();
    });
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return null;
  }
}
