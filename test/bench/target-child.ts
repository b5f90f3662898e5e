// Something to check, on the other core: node target-child.ts http|https [BODY BYTES] [HOST]. Says where in a line of JSON.
import { startLoadTarget } from '../../hub/demo/load-target.ts';

const [kind = 'http', bodyBytes = '512', host = '127.0.0.1'] = process.argv.slice(2);
const target = await startLoadTarget({
  host,
  port: 0,
  tls: kind === 'https',
  bodyBytes: Number(bodyBytes),
  delayMs: 0,
  failing: 0,
  random: Math.random,
});
process.stdout.write(`${JSON.stringify({ url: target.url, ca: target.ca })}\n`);
process.once('SIGTERM', () => process.exit(0));
