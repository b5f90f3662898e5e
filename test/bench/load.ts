/** A load: so many at once without pause, or so many a second whatever happens. */
export type Load = { readonly atOnce: number } | { readonly perSecond: number };

export interface Driven {
  readonly done: number;
  readonly good: number;
  /** Of what the subject said each one took, microseconds. */
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Most under way at a rate: a subject that falls behind is measured as late, and memory stays bounded. */
const mostUnderWay = 2000;

/** One piece of work as its subject reports it. */
export interface Done {
  readonly good: boolean;
  readonly tookUs: number;
}

/** Calls `once` until `seconds` are over, and waits for what is under way. */
export async function drive(load: Load, seconds: number, once: () => Promise<Done>): Promise<Driven> {
  const tookUs: number[] = [];
  const until = performance.now() + seconds * 1000;
  let good = 0;
  const one = async () => {
    const done = await once();
    if (done.good) good += 1;
    tookUs.push(done.tookUs);
  };
  if ('atOnce' in load) {
    const lane = async () => {
      while (performance.now() < until) await one();
    };
    await Promise.all(Array.from({ length: load.atOnce }, lane));
  } else await atRate(load.perSecond, until, one);
  tookUs.sort((a, b) => a - b);
  const quantile = (share: number) => Math.round(tookUs[Math.floor(tookUs.length * share)] ?? 0);
  return { done: tookUs.length, good, p50Us: quantile(0.5), p99Us: quantile(0.99) };
}

async function atRate(perSecond: number, until: number, one: () => Promise<void>): Promise<void> {
  const underWay = new Set<Promise<void>>();
  let dueMs = performance.now();
  while (performance.now() < until) {
    for (; dueMs <= performance.now() && underWay.size < mostUnderWay; dueMs += 1000 / perSecond) {
      const running = one().finally(() => underWay.delete(running));
      underWay.add(running);
    }
    await new Promise((done) => setTimeout(done, Math.max(0, dueMs - performance.now())));
  }
  await Promise.all(underWay);
}
