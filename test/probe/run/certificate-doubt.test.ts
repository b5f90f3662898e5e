import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { createSharedOffset, type SharedOffset } from '../../../probe/clock/shared-offset.ts';
import { doubtCertificates } from '../../../probe/run/certificate-doubt.ts';
import { makeChecker } from '../../../probe/run/make-checker.ts';
import { type Issued, issue } from '../checks/certificates.ts';
import { assignmentOf } from '../checks/scene.ts';
import { says, startRawServer, whole } from '../checks/servers.ts';

const running = new AbortController().signal;
const dayUs = 86_400_000_000;

let authority: Issued;
let offset: SharedOffset;
let checker: Checker;

beforeAll(async () => {
  authority = await issue({ name: 'Test authority', ca: true, fromDays: -800, toDays: 800 });
  offset = createSharedOffset();
  const terms = { allowNetworks: ['127.0.0.0/8'], allowProxy: false, hubOrigins: [], env: {} };
  checker = await makeChecker({ ...terms, clockOffset: offset.buffer });
});
afterAll(() => checker.close());

/**
 * A real server with a certificate that is valid from and to so many days of this machine's clock; hub time is `offDays`
 * behind this machine's clock. Nothing but doubt makes a result suspect here.
 */
async function check(offDays: number, [fromDays, toDays]: readonly [number, number], expectation = {}) {
  const { cert, key } = await issue({ ips: ['127.0.0.1'], fromDays, toDays }, authority);
  const server = await startRawServer(says(whole('hi')), { tls: { cert, key } });
  onTestFinished(() => server.close());
  const offsetUs = offDays * dayUs;
  offset.set(offsetUs);
  const clock = { nowUs: () => Date.now() * 1000 - offsetUs, offsetUs: () => offsetUs };
  const doubting = doubtCertificates(
    {
      check: async (...given) => ({ observation: await checker.check(...given), disturbed: false }),
      noiseUs: () => 0,
      close: async () => undefined,
    },
    clock,
  );
  const assignment = assignmentOf(`https://127.0.0.1:${server.port}/`, {
    request: { tls: { ca: authority.cert } },
    expect: expectation,
  });
  const { observation, disturbed } = await doubting.check(assignment, running);
  const { outcome, failure } = observation;
  return { said: `${outcome} ${failure?.code ?? ''}`.trim(), message: failure?.message, suspect: disturbed };
}

const cases: [
  words: string,
  offDays: number,
  valid: readonly [number, number],
  said: string,
  suspect: boolean,
][] = [
  ['a clock that is right, and a certificate that has ended', 0, [-30, -2], 'down tls.expired', false],
  ['seconds off, and a certificate that has ended', 30 / 86_400, [-30, -2], 'down tls.expired', false],
  ['a year ahead: ended here, valid for the hub', 365, [-400, -2], 'down tls.expired', true],
  ['a day ahead: ended here and for the hub', 1, [-30, -2], 'down tls.expired', false],
  ['a year behind: not valid yet here, valid for the hub', -365, [300, 500], 'down tls.expired', true],
  ['a year behind: not valid yet here, ended for the hub', -365, [300, 340], 'down tls.expired', false],
  ['hours ahead, and a certificate that is good', 0.2, [-30, 60], 'up', false],
];
test.each(cases)('%s', async (_, offDays, valid, said, suspect) => {
  expect(await check(offDays, valid)).toMatchObject({ said, suspect });
});

test('how many days a certificate lasts is counted on hub time', async () => {
  const certDays = { certDays: 14 };
  // Ten days by this machine, which is twenty ahead; forty by this machine, which is thirty behind.
  expect(await check(20, [-30, 10.5], certDays)).toMatchObject({ said: 'up' });
  expect(await check(-30, [-30, 40.5], certDays)).toMatchObject({
    said: 'degraded expect.cert',
    message: 'the certificate ends in 10 days, warned at 14',
  });
});
