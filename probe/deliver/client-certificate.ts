import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { ClientCertificate } from './kafka-way.ts';

/** Reads the files anew each time. Throws one line that names the file and what is wrong with it. */
export function clientCertificate(files: {
  readonly certFile: string;
  readonly keyFile: string;
}): () => ClientCertificate {
  return () => {
    const cert = read('--kafka-cert', files.certFile);
    const key = read('--kafka-key', files.keyFile);
    try {
      createSecureContext({ cert, key });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`--kafka-cert ${files.certFile} and --kafka-key ${files.keyFile} do not fit: ${why}`, {
        cause: error,
      });
    }
    return { cert, key };
  };
}

function read(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`${flag} ${file}: ${code === 'ENOENT' ? 'there is no such file' : message}`, {
      cause: error,
    });
  }
}
