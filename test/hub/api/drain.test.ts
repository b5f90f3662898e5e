import { Agent, get, type IncomingMessage } from 'node:http';
import { Hono } from 'hono';
import { afterEach, expect, test } from 'vitest';
import type { ApiEnv } from '../../../hub/api/operator.ts';
import { type Serving, serve } from '../../../hub/api/serve.ts';
import { quiet } from '../ingest/scene.ts';

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let serving: Serving;
afterEach(() => serving.stop(100));

async function start() {
  const waiting = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const app = new Hono<ApiEnv>();
  app.get('/now', (context) => context.text('now'));
  app.get('/later', async (context) => {
    arrived.resolve();
    await waiting.promise;
    return context.text('later');
  });
  serving = await serve({
    app,
    listen: { host: '127.0.0.1', port: 0 },
    tls: null,
    log: quiet,
    clockMs: () => Date.now(),
  });
  return { answer: waiting.resolve, arrived: arrived.promise };
}

function ask(path: string): Promise<IncomingMessage> {
  return new Promise((done, failed) => {
    get({ host: '127.0.0.1', port: serving.port, path, agent }, (answer) => {
      answer.resume().once('end', () => done(answer));
    }).once('error', failed);
  });
}

test('a server that drains ends each connection with its answer, and stops with the last', async () => {
  const { answer, arrived } = await start();
  expect((await ask('/now')).headers.connection).toBe('keep-alive');
  const late = ask('/later');
  await arrived;
  serving.drain();
  answer();
  expect((await late).headers.connection).toBe('close');
  await expect(ask('/now')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  const startedMs = performance.now();
  await serving.stop(60_000);
  expect(performance.now() - startedMs).toBeLessThan(5000);
});

test('who asks again and again on one connection does not keep it from stopping', async () => {
  await start();
  await ask('/now');
  const asking = (async () => {
    for (;;) await ask('/now');
  })().catch((error: NodeJS.ErrnoException) => error.code);
  await serving.stop(60_000);
  expect(await asking).toMatch(/ECONNREFUSED|ECONNRESET/);
});
