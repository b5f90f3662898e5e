import type { Result, Timings, TlsFacts } from './result.ts';

/**
 * Results as batch schema 3 has them: one column after the other, so that what is the same from result to result, or
 * follows from what stands before it, takes next to nothing once compressed. Texts, certificates and addresses stand
 * once a batch. A reference is 0 for null, 1 for the next one that was not named yet, n + 2 for the n-th: where all are
 * different, as fingerprints mostly are, the column is all ones.
 */
export interface Columns {
  /** `resultColumns` times as many as there are results. */
  readonly numbers: readonly number[];
  /** In the order in which the columns name them first. */
  readonly texts: readonly string[];
  /** `certificateColumns` times as many as there are certificates. */
  readonly certificates: readonly number[];
  /** 32 bytes each. */
  readonly fingerprints: Uint8Array;
  /** 4 bytes each. */
  readonly ipv4: Uint8Array;
}

/** A result as the record has it, before its words are looked at. */
export type WireResult = Omit<
  Result,
  'failure' | 'scheduledAt' | 'startedAt' | 'regionId' | 'probeId' | 'facts'
> & {
  readonly facts: string | null;
  /** Microseconds after the batch's base. */
  readonly scheduled: number;
  readonly failureCode: string | null;
  readonly failureMessage: string | null;
};

/** A result has one number in each; which column stands where. */
export const place = {
  flags: 0,
  kind: 1,
  outcome: 2,
  failureCode: 3,
  firstFailure: 4,
  httpVersion: 5,
  attempts: 6,
  rev: 7,
  redirects: 8,
  status: 9,
  facts: 10,
  evidence: 11,
  failureMessage: 12,
  tls: 13,
  address: 14,
  scheduled: 15,
  endpointId: 16,
  lateBy: 17,
  dns: 18,
  connect: 19,
  secure: 20,
  wait: 21,
  transfer: 22,
  rest: 23,
  bytes: 24,
} as const;
export const resultColumns = Object.keys(place).length;
type Column = keyof typeof place;

/** Of a certificate: when it ends (after the one before it), fingerprint (0: the next 32 bytes), version, cipher, issuer. */
export const certificateColumns = 5;

const suspectFlag = 1;
const truncatedFlag = 2;

/** Null is 0; a number below 0, which only a liar has, stays what it is. */
const optional = (value: number | null) => (value === null ? 0 : value < 0 ? value : value + 1);
const orNull = (value: number) => (value === 0 ? null : value < 0 ? value : value - 1);

const phasesOf = ({ dns, connect, tls, wait, transfer }: Omit<Timings, 'total'>) =>
  (dns ?? 0) + (connect ?? 0) + (tls ?? 0) + (wait ?? 0) + (transfer ?? 0);

/** `rows`: with each one's facts as text. */
export function toColumns(rows: readonly WireResult[]): Columns {
  const count = rows.length;
  const numbers = new Array<number>(count * resultColumns).fill(0);
  const texts = createTexts();
  const put = (column: Column, of: (row: WireResult) => number) => {
    let at = place[column] * count;
    for (const row of rows) numbers[at++] = of(row);
  };
  const putText = (column: Column, of: (row: WireResult) => string | null) => {
    let at = place[column] * count;
    let [text, reference]: [string | null, number] = [null, 0];
    for (const row of rows) {
      const next = of(row);
      if (next !== text || reference === 1) [text, reference] = [next, texts.refer(next)];
      numbers[at++] = reference;
    }
  };
  put('flags', (row) => (row.suspect ? suspectFlag : 0) + (row.truncated ? truncatedFlag : 0));
  putText('kind', (row) => row.kind);
  putText('outcome', (row) => row.outcome);
  putText('failureCode', (row) => row.failureCode);
  putText('firstFailure', (row) => row.firstFailure);
  putText('httpVersion', (row) => row.httpVersion);
  put('attempts', (row) => row.attempts);
  put('rev', (row) => row.rev);
  put('redirects', (row) => row.redirects);
  put('status', (row) => optional(row.status));
  const certificates = createCertificates();
  put('tls', (row) => certificates.refer(row.tls));
  const sealed = certificates.seal(texts);
  // Texts that differ from result to result come last: the others' references stay short.
  const addresses = createAddresses(texts);
  put('address', (row) => addresses.refer(row.remoteIp));
  putText('failureMessage', (row) => row.failureMessage);
  putText('facts', (row) => row.facts);
  putText('evidence', (row) => row.evidence);
  let before = 0;
  put('scheduled', ({ scheduled }) => {
    const step = scheduled - before;
    before = scheduled;
    return step;
  });
  put('endpointId', (row) => row.endpointId);
  put('lateBy', (row) => row.lateBy);
  put('dns', (row) => optional(row.timings.dns));
  put('connect', (row) => optional(row.timings.connect));
  put('secure', (row) => optional(row.timings.tls));
  put('wait', (row) => optional(row.timings.wait));
  put('transfer', (row) => optional(row.timings.transfer));
  put('rest', (row) => row.timings.total - phasesOf(row.timings));
  put('bytes', (row) => row.bytes);
  return { numbers, texts: texts.all, ...sealed, ipv4: addresses.bytes() };
}

function createTexts() {
  const all: string[] = [];
  const known = new Map<string, number>();
  return {
    all: all as readonly string[],
    refer(text: string | null): number {
      if (text === null) return 0;
      const at = known.get(text);
      if (at !== undefined) return at + 2;
      known.set(text, all.length);
      all.push(text);
      return 1;
    },
  };
}

const sameCertificate = (a: TlsFacts, b: TlsFacts) =>
  a.notAfter === b.notAfter && a.issuer === b.issuer && a.cipher === b.cipher && a.version === b.version;

function createCertificates() {
  const all: TlsFacts[] = [];
  const known = new Map<string, number[]>();
  return {
    refer(tls: TlsFacts | null): number {
      if (tls === null) return 0;
      const under = known.get(tls.fingerprint) ?? [];
      const at = under.find((one) => sameCertificate(all[one] as TlsFacts, tls));
      if (at !== undefined) return at + 2;
      if (under.length === 0) known.set(tls.fingerprint, under);
      under.push(all.length);
      all.push(tls);
      return 1;
    },
    seal(texts: ReturnType<typeof createTexts>) {
      const inBytes = all.map(({ fingerprint }) => /^[0-9a-f]{64}$/.test(fingerprint));
      const certificates = [
        ...all.map(({ notAfter }, index) => notAfter - (all[index - 1]?.notAfter ?? 0)),
        ...all.map(({ fingerprint }, index) => (inBytes[index] ? 0 : texts.refer(fingerprint))),
        ...all.map(({ version }) => texts.refer(version)),
        ...all.map(({ cipher }) => texts.refer(cipher)),
        ...all.map(({ issuer }) => texts.refer(issuer)),
      ];
      const hex = all.filter((_, index) => inBytes[index]).map(({ fingerprint }) => fingerprint);
      return { certificates, fingerprints: Buffer.from(hex.join(''), 'hex') };
    },
  };
}

/** 0 is null, 1 the next four bytes, 2 an address that stands in the texts, n + 3 the n-th. */
function createAddresses(texts: ReturnType<typeof createTexts>) {
  const known = new Map<string, number>();
  const bytes: number[] = [];
  return {
    refer(address: string | null): number {
      if (address === null) return 0;
      const at = known.get(address);
      if (at !== undefined) return at + 3;
      // One that is among the texts for another reason, as no honest probe has it, is looked up there each time.
      const four = ipv4Bytes(address);
      if (!four && texts.refer(address) !== 1) return -1 - texts.all.indexOf(address);
      known.set(address, known.size);
      if (!four) return 2;
      bytes.push(...four);
      return 1;
    },
    bytes: () => Buffer.from(bytes),
  };
}

/** Null for everything that is not written exactly as four bytes are. */
function ipv4Bytes(text: string): number[] | null {
  if (text.length > 15) return null;
  const parts: number[] = [];
  let [value, digits] = [0, 0];
  for (let index = 0; index <= text.length; index += 1) {
    const digit = text.charCodeAt(index) - 48;
    if (digit >= 0 && digit <= 9) {
      if (digits > 0 && value === 0) return null;
      value = value * 10 + digit;
      digits += 1;
    } else {
      if (digits === 0 || value > 255 || (index < text.length && text[index] !== '.')) return null;
      parts.push(value);
      [value, digits] = [0, 0];
    }
  }
  return parts.length === 4 ? parts : null;
}

/** Throws where the columns do not fit together. What it gives back shares its texts and certificates. */
export function fromColumns(columns: Columns): WireResult[] {
  const { numbers } = columns;
  const count = numbers.length / resultColumns;
  if (!Number.isInteger(count)) throw new Error(`${numbers.length} numbers are no whole results`);
  const texts = readTexts(columns.texts);
  const at = (column: Column, row: number) => numbers[place[column] * count + row] as number;
  // Up to `next`, a number means one more that was not named yet.
  const read = <T>(column: Column, of: (reference: number) => T, next = 1): T[] => {
    const from = place[column] * count;
    const found = new Array<T>(count);
    let before = Number.NaN;
    let last: T | undefined;
    for (let row = 0; row < count; row += 1) {
      const reference = numbers[from + row] as number;
      if (reference !== before || (reference > 0 && reference <= next)) last = of(reference);
      before = reference;
      found[row] = last as T;
    }
    return found;
  };
  const word = (column: Column) => read(column, (reference) => present(texts.named(reference), column));
  const flags = read('flags', knownFlags);
  const kind = word('kind');
  const outcome = word('outcome');
  const failureCode = read('failureCode', texts.named);
  const firstFailure = read('firstFailure', texts.named);
  const httpVersion = read('httpVersion', texts.named);
  const certificates = readCertificates(columns, texts);
  const tls = read('tls', certificates.named);
  certificates.end();
  const addresses = readAddresses(columns.ipv4, texts);
  const remoteIp = read('address', addresses.named, 2);
  addresses.end();
  const failureMessage = read('failureMessage', texts.named);
  const facts = read('facts', texts.named);
  const evidence = read('evidence', texts.named);
  texts.end();
  const rows = new Array<WireResult>(count);
  let scheduled = 0;
  for (let row = 0; row < count; row += 1) {
    scheduled += at('scheduled', row);
    const dns = orNull(at('dns', row));
    const connect = orNull(at('connect', row));
    const secure = orNull(at('secure', row));
    const wait = orNull(at('wait', row));
    const transfer = orNull(at('transfer', row));
    const total = at('rest', row) + phasesOf({ dns, connect, tls: secure, wait, transfer });
    if (!Number.isSafeInteger(scheduled) || !Number.isSafeInteger(total)) {
      throw new Error(`the times of result ${row + 1} are none`);
    }
    const flag = flags[row] as number;
    rows[row] = {
      endpointId: at('endpointId', row),
      rev: at('rev', row),
      kind: kind[row] as WireResult['kind'],
      scheduled,
      lateBy: at('lateBy', row),
      attempts: at('attempts', row),
      outcome: outcome[row] as WireResult['outcome'],
      failureCode: failureCode[row] as string | null,
      failureMessage: failureMessage[row] as string | null,
      firstFailure: firstFailure[row] as WireResult['firstFailure'],
      suspect: (flag & suspectFlag) !== 0,
      status: orNull(at('status', row)),
      httpVersion: httpVersion[row] as string | null,
      remoteIp: remoteIp[row] as string | null,
      redirects: at('redirects', row),
      timings: { dns, connect, tls: secure, wait, transfer, total },
      bytes: at('bytes', row),
      truncated: (flag & truncatedFlag) !== 0,
      tls: tls[row] as TlsFacts | null,
      facts: facts[row] as string | null,
      evidence: evidence[row] as string | null,
    };
  }
  return rows;
}

function knownFlags(flags: number): number {
  if (flags >= 0 && flags <= (suspectFlag | truncatedFlag)) return flags;
  throw new Error(`flags ${flags} are not known here`);
}

function present<T>(value: T | null, what: string): T {
  if (value === null) throw new Error(`a result without ${what}`);
  return value;
}

interface Texts {
  named(reference: number): string | null;
  at(index: number): string;
  /** Throws where some were never named: they would only take room. */
  end(): void;
}

function readTexts(all: readonly string[]): Texts {
  let named = 0;
  function at(index: number): string {
    const text = index >= 0 && index < named ? all[index] : undefined;
    if (text === undefined) throw new Error(`no text ${index} was named before`);
    return text;
  }
  return {
    named(reference) {
      if (reference === 0) return null;
      if (reference !== 1) return at(reference - 2);
      if (named >= all.length) throw new Error(`more than ${all.length} texts are named`);
      return all[named++] as string;
    },
    at,
    end() {
      if (named < all.length) throw new Error(`${all.length - named} texts are never named`);
    },
  };
}

function readCertificates({ certificates, fingerprints }: Columns, texts: Texts) {
  const count = certificates.length / certificateColumns;
  if (!Number.isInteger(count)) throw new Error(`${certificates.length} numbers are no whole certificates`);
  const column = <T>(place: number, of: (reference: number) => T): T[] =>
    certificates.slice(place * count, (place + 1) * count).map(of);
  const hex = Buffer.from(fingerprints).toString('hex');
  let [notAfter, used] = [0, 0];
  const ends = column(0, (step) => {
    notAfter += step;
    return notAfter;
  });
  const prints = column(1, (reference) => {
    if (reference !== 0) return texts.named(reference);
    const print = hex.slice(used, used + 64);
    used += 64;
    if (print.length < 64) throw new Error('fewer fingerprints than certificates');
    return print;
  });
  if (used !== hex.length) throw new Error('more fingerprints than certificates');
  const [versions, ciphers, issuers] = [2, 3, 4].map((place) => column(place, texts.named));
  const all = ends.map((end, index): TlsFacts => {
    if (!Number.isSafeInteger(end)) throw new Error(`certificate ${index + 1} has no end`);
    return {
      version: present(versions?.[index] ?? null, 'tls.version'),
      cipher: present(ciphers?.[index] ?? null, 'tls.cipher'),
      notAfter: end,
      issuer: present(issuers?.[index] ?? null, 'tls.issuer'),
      fingerprint: present(prints[index] ?? null, 'tls.fingerprint'),
    };
  });
  let named = 0;
  return {
    named(reference: number): TlsFacts | null {
      if (reference === 0) return null;
      const index = reference === 1 ? named : reference - 2;
      const found = index >= 0 && index < (reference === 1 ? all.length : named) ? all[index] : undefined;
      if (!found) throw new Error(`no certificate ${index} was named before`);
      if (reference === 1) named += 1;
      return found;
    },
    end() {
      if (named < all.length) throw new Error(`${all.length - named} certificates are never named`);
    },
  };
}

function readAddresses(ipv4: Uint8Array, texts: Texts) {
  const known: string[] = [];
  let used = 0;
  return {
    named(reference: number): string | null {
      if (reference === 0) return null;
      if (reference < 0) return texts.at(-1 - reference);
      if (reference > 2) {
        const address = known[reference - 3];
        if (address === undefined) throw new Error(`no address ${reference - 3} was named before`);
        return address;
      }
      if (reference === 1 && used + 4 > ipv4.length) throw new Error('more addresses than there are bytes');
      const next =
        reference === 2 ? present(texts.named(1), 'address') : ipv4.subarray(used, used + 4).join('.');
      if (reference === 1) used += 4;
      known.push(next);
      return next;
    },
    end() {
      if (used < ipv4.length) throw new Error('addresses that are never named');
    },
  };
}
