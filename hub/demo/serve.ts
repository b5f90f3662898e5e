import { readDemo } from './prepare.ts';
import { startDemoSite } from './site.ts';

/** `parallax demo --data DIR`: the demo site as `up` prepared it, until it is asked to stop. */
export async function serveDemo(folder: string, signal: AbortSignal): Promise<void> {
  const demo = await readDemo(folder);
  const site = await startDemoSite({ ...demo, now: Date.now, random: Math.random });
  console.log(`the demo site listens on 127.0.0.1:${site.httpPort} (http) and :${site.httpsPort} (https)`);
  await new Promise<void>((done) => {
    if (signal.aborted) done();
    signal.addEventListener('abort', () => done(), { once: true });
  });
  await site.close();
}
