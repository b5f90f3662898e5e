import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PageScene, pageScene } from './scene.ts';

let scene: PageScene;
beforeAll(async () => {
  scene = await pageScene({ everyMs: 1 });
  const liar = await scene.region('eu-west');
  await scene.region('us-east');
  await scene.db.run(
    `insert into reject_counts (hour, reason, probe_id, count) values
       (date_trunc('hour', now()), 'endpoint_not_in_region', $1, 1200),
       (date_trunc('hour', now()), 'future', $1, 4),
       (date_trunc('hour', now()) - interval '3 hours', 'decode', $1, 99),
       (date_trunc('hour', now()), 'unknown_probe', 0, 7)`,
    [liar.probeId],
  );
});
afterAll(() => scene.end());

test('the page of probes shows which one lies, how often and why, and what to do', async () => {
  const html = await (await scene.get('/probes', await scene.session())).text();
  const [liar = '', honest = ''] = ['eu-west-1', 'us-east-1'].map(
    (name) => new RegExp(`<tr[^>]*data-name="${name}".*?</tr>`, 's').exec(html)?.[0],
  );
  expect(liar).toContain('<b>1,204</b>');
  expect(liar).toContain('endpoint not in region');
  expect(liar).toContain('What to do');
  expect(honest).toContain('data-label="Refused"></td>');
  expect(html).toContain('Results of one are refused.');
});
