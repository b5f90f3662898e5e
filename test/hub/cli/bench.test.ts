import { describe, expect, test } from 'vitest';
import { parseEndpointFile } from '../../../shared/endpoint-document.ts';
import { runCli } from '../cli-scene.ts';

describe('parallax bench endpoints', () => {
  test('prints a file of so many endpoints that apply takes', async () => {
    const argv = [
      'bench',
      'endpoints',
      '--count',
      '2501',
      '--url',
      'http://10.0.0.1:81/{n}',
      '--interval',
      '20s',
    ];
    const { code, out } = await runCli(argv);
    expect(code).toBe(0);
    const file = parseEndpointFile(out, 'load.yaml');
    const endpoints = 'endpoints' in file ? file.endpoints : [];
    expect(endpoints).toHaveLength(2501);
    expect(new Set(endpoints.map(({ endpoint }) => endpoint.name)).size).toBe(2501);
    expect(endpoints[2500]?.endpoint).toMatchObject({
      url: 'http://10.0.0.1:81/2501',
      interval: 20_000,
      tags: { load: 'bench' },
    });
  });

  test.each([
    [['--count', '0'], /--count 0/],
    [['--count', 'many'], /--count many/],
    [['--count', '5', '--interval', 'soon'], /--interval soon/],
    [[], /--count/],
  ])('%j is wrong usage', async (argv, says) => {
    const { code, err } = await runCli(['bench', 'endpoints', ...argv]);
    expect([code, err]).toEqual([2, expect.stringMatching(says)]);
  });
});

describe('parallax bench target', () => {
  test('answers as it was told until it is stopped, and counts', async () => {
    const stopping = new AbortController();
    const { promise: said, resolve: says } = Promise.withResolvers<string>();
    const running = runCli(
      ['bench', 'target', '--listen', '127.0.0.1:0', '--body', '1KiB', '--delay', '30ms', '--failing', '1'],
      {},
      { signal: stopping.signal, onOut: says },
    );
    const url = /http:\S+/.exec(await said)?.[0] ?? '';
    const beganMs = performance.now();
    const answer = await fetch(url);
    expect([answer.status, (await answer.text()).length]).toEqual([503, 1024]);
    expect(performance.now() - beganMs).toBeGreaterThan(28);
    stopping.abort();
    expect(await running).toMatchObject({ code: 0, out: expect.stringMatching(/1 answers given/) });
  });

  test.each([
    [['--listen', 'here'], /--listen here/],
    [['--body', '1TiB'], /--body 1TiB/],
    [['--delay', 'long'], /--delay long/],
    [['--failing', '2'], /--failing 2/],
  ])('%j is wrong usage', async (argv, says) => {
    const { code, err } = await runCli(['bench', 'target', ...argv]);
    expect([code, err]).toEqual([2, expect.stringMatching(says)]);
  });
});
