import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AnchorSeen,
  isMass,
  judgeReach,
  type Label,
  labelOf,
  type NetworkView,
  type Reach,
  type Suspicious,
} from '../../../probe/network/judge-network.ts';
import { reachesAsFar, type Scope, scopeOf, scopes } from '../../../probe/network/scope.ts';
import { type FailureCode, failureCodes, failureTable } from '../../../shared/failure.ts';

const anchor = (kind: AnchorSeen['kind'], scope: Scope, reached: AnchorSeen['reached']): AnchorSeen => ({
  what: kind,
  kind,
  scope,
  reached,
});
const falling = { fresh: false, failing: true };

describe('how far out an address lies', () => {
  const cases: [address: string, scope: Scope][] = [
    ['127.0.0.1', 'local'],
    ['::1', 'local'],
    ['192.168.7.9', 'local'],
    ['::ffff:192.168.7.9', 'local'],
    ['192.168.8.9', 'private'],
    ['10.1.2.3', 'private'],
    ['fd00::7', 'private'],
    ['fe80::1', 'local'],
    ['9.9.9.9', 'public'],
    ['2620:fe::fe', 'public'],
    ['', 'public'],
    ['shop.example', 'public'],
  ];
  test.each(cases)('%s is %s', (address, scope) => {
    expect(scopeOf(address, ['192.168.7.2/24', 'fe80::2/64'])).toBe(scope);
  });
});

describe('the way out', () => {
  const cases: [name: string, scope: Scope, anchors: AnchorSeen[], reach: Reach][] = [
    ['the hub answers', 'public', [anchor('hub', 'public', 'answered')], 'ok'],
    ['the hub is silent', 'public', [anchor('hub', 'public', 'silent')], 'gone'],
    ['the hub says no: the way to it is whole', 'public', [anchor('hub', 'public', 'refused')], 'ok'],
    [
      'the hub is silent, a named place is not',
      'public',
      [anchor('hub', 'public', 'silent'), anchor('named', 'public', 'answered')],
      'ok',
    ],
    [
      'the hub and the named place are silent',
      'public',
      [anchor('hub', 'public', 'silent'), anchor('named', 'public', 'silent')],
      'gone',
    ],
    [
      'upstream is dead and the gateway alive',
      'public',
      [anchor('hub', 'public', 'silent'), anchor('gateway', 'local', 'answered')],
      'gone',
    ],
    [
      'the gateway is gone too',
      'public',
      [anchor('hub', 'public', 'silent'), anchor('gateway', 'local', 'silent')],
      'gone',
    ],
    [
      'a gateway that is silent, and a hub that answers through it',
      'public',
      [anchor('hub', 'public', 'answered'), anchor('gateway', 'local', 'silent')],
      'ok',
    ],
    [
      'a hub in the private network answers: nothing of the internet',
      'public',
      [anchor('hub', 'private', 'answered')],
      'unclear',
    ],
    [
      'a private place that is silent: nothing of the internet',
      'public',
      [anchor('named', 'private', 'silent')],
      'unclear',
    ],
    [
      'a silent public hub says nothing of a private target',
      'private',
      [anchor('hub', 'public', 'silent')],
      'unclear',
    ],
    [
      'nor of a neighbour, while the gateway is there',
      'local',
      [anchor('hub', 'public', 'silent'), anchor('gateway', 'local', 'answered')],
      'ok',
    ],
    [
      'the link is down',
      'local',
      [anchor('hub', 'public', 'silent'), anchor('gateway', 'local', 'silent')],
      'gone',
    ],
    ['nobody to ask', 'public', [], 'unclear'],
  ];
  test.each(cases)('%s', (_, scope, anchors, reach) => {
    expect(judgeReach(scope, anchors, falling)).toBe(reach);
  });

  const anchors = fc.array(
    fc.record({
      what: fc.constant('x'),
      kind: fc.constantFrom('hub', 'gateway', 'named'),
      scope: fc.constantFrom(...scopes),
      reached: fc.constantFrom('answered', 'refused', 'silent'),
    }) as fc.Arbitrary<AnchorSeen>,
    { maxLength: 6 },
  );
  const scope = fc.constantFrom(...scopes);

  test('is never gone while anybody as far out answers, a target was up a moment ago, or none falls', () => {
    fc.assert(
      fc.property(scope, anchors, fc.boolean(), fc.boolean(), (of, seen, fresh, failing) => {
        const reach = judgeReach(of, seen, { fresh, failing });
        const answers = seen.some((one) => one.reached !== 'silent' && reachesAsFar(one.scope, of));
        if (fresh || answers) expect(reach).toBe('ok');
        if (!failing) expect(reach).not.toBe('gone');
        if (reach === 'gone') expect(seen.some(({ reached }) => reached === 'silent')).toBe(true);
      }),
    );
  });

  test('one more that answers never makes it worse, one more that is silent never better', () => {
    const worth = { gone: 0, unclear: 1, ok: 2 };
    fc.assert(
      fc.property(scope, anchors, anchors, (of, seen, [more]) => {
        if (!more) return;
        const before = worth[judgeReach(of, seen, falling)];
        const after = worth[judgeReach(of, [...seen, more], falling)];
        if (more.reached === 'silent') expect(after).toBeLessThanOrEqual(before);
        else expect(after).toBeGreaterThanOrEqual(before);
      }),
    );
  });
});

describe('mass failure', () => {
  const cases: [up: number, fallen: number, mass: boolean][] = [
    [0, 0, false],
    [0, 3, false],
    [0, 4, true],
    [1, 3, true],
    [2, 2, false],
    [250, 250, false],
    [249, 251, true],
    [1, 2, false],
    [400, 100, false],
  ];
  test.each(cases)('%d up and %d fallen: %s', (up, fallen, mass) =>
    expect(isMass({ up, fallen })).toBe(mass),
  );
});

const well: NetworkView = {
  reach: { local: 'ok', private: 'ok', public: 'ok' },
  mass: { local: false, private: false, public: false },
  resolver: 'answers',
  madeUp: [],
  portal: null,
};
const gone: NetworkView = { ...well, reach: { ...well.reach, public: 'gone' } };
const mass: NetworkView = { ...well, mass: { ...well.mass, public: true } };
const lying: NetworkView = { ...well, madeUp: ['10.9.9.9'] };
const portal: NetworkView = { ...well, portal: 'a captive portal' };
const mute: NetworkView = { ...well, resolver: 'silent' };

function down(code: FailureCode, over: Partial<Suspicious> = {}): Suspicious {
  return { outcome: 'down', code, remoteIp: null, scope: 'public', named: true, proven: true, ...over };
}
const up = (over: Partial<Suspicious> = {}): Suspicious => ({
  outcome: 'up',
  code: null,
  remoteIp: '203.0.113.7',
  scope: 'public',
  named: true,
  proven: true,
  ...over,
});

describe('what a result is worth', () => {
  const cases: [name: string, result: Suspicious, view: NetworkView, label: Label['kind']][] = [
    ['a failure, all well', down('connect.timeout'), well, 'keep'],
    ['a failure, the way gone', down('connect.timeout'), gone, 'network'],
    ['no name, the way gone', down('dns.timeout'), gone, 'network'],
    ['stopped half way, the way gone', down('wait.timeout', { remoteIp: '203.0.113.7' }), gone, 'network'],
    [
      'an answer that came before the way was gone',
      down('expect.status', { remoteIp: '203.0.113.7' }),
      gone,
      'suspect',
    ],
    ['a certificate seen before the way was gone', down('tls.expired'), gone, 'suspect'],
    ['a neighbour’s failure, the way out gone', down('connect.refused', { scope: 'local' }), gone, 'keep'],
    ['up, the way gone', up(), gone, 'keep'],
    ['a failure among many', down('connect.timeout'), mass, 'suspect'],
    ['an answer among many failures', down('expect.status'), mass, 'suspect'],
    ['a private failure, many public ones', down('connect.timeout', { scope: 'private' }), mass, 'keep'],
    ['up, where many fail', up(), mass, 'keep'],
    ['up at an address that DNS makes up', up({ remoteIp: '10.9.9.9', proven: false }), lying, 'network'],
    ['proven at an address that DNS makes up', up({ remoteIp: '10.9.9.9' }), lying, 'keep'],
    [
      'wrong at an address that DNS makes up',
      down('tls.untrusted', { remoteIp: '10.9.9.9' }),
      lying,
      'network',
    ],
    ['up elsewhere, where DNS makes up', up({ proven: false }), lying, 'keep'],
    ['nobody there, where DNS makes up', down('connect.timeout'), lying, 'network'],
    [
      'wrong elsewhere, where DNS makes up',
      down('expect.status', { remoteIp: '203.0.113.7' }),
      lying,
      'keep',
    ],
    ['an address fails, where DNS makes up', down('connect.timeout', { named: false }), lying, 'keep'],
    ['plain http up behind a portal', up({ proven: false }), portal, 'network'],
    ['https up behind a portal', up(), portal, 'keep'],
    ['https fails behind a portal', down('tls.untrusted'), portal, 'network'],
    ['a neighbour fails behind a portal', down('connect.refused', { scope: 'local' }), portal, 'keep'],
    ['a neighbour up behind a portal', up({ scope: 'local', proven: false }), portal, 'keep'],
    ['no name, DNS mute', down('dns.timeout'), mute, 'network'],
    ['no name by a broken resolver, DNS mute', down('dns.servfail'), mute, 'network'],
    ['an address fails, DNS mute', down('connect.timeout', { named: false }), mute, 'keep'],
    ['no such name, DNS well', down('dns.nxdomain'), well, 'keep'],
  ];
  test.each(cases)('%s: %#', (_, result, view, label) => {
    expect(labelOf(result, view).kind).toBe(label);
  });

  const views = fc.record({
    reach: fc.record({
      local: fc.constantFrom<Reach>('ok', 'gone', 'unclear'),
      private: fc.constantFrom<Reach>('ok', 'gone', 'unclear'),
      public: fc.constantFrom<Reach>('ok', 'gone', 'unclear'),
    }),
    mass: fc.record({ local: fc.boolean(), private: fc.boolean(), public: fc.boolean() }),
    resolver: fc.constantFrom<NetworkView['resolver']>('answers', 'silent', 'unknown'),
    madeUp: fc.subarray(['10.9.9.9', '10.9.9.8']),
    portal: fc.constantFrom(null, 'a captive portal'),
  });
  const results = fc.record({
    outcome: fc.constantFrom<Suspicious['outcome']>('up', 'degraded', 'down'),
    code: fc.constantFrom(...failureCodes.filter((code) => failureTable[code].outcome === 'down')),
    remoteIp: fc.constantFrom(null, '203.0.113.7', '10.9.9.9'),
    scope: fc.constantFrom(...scopes),
    named: fc.boolean(),
    proven: fc.boolean(),
  });

  test('a good result is never suspect, and a proven one stays; in a well network everything stays', () => {
    fc.assert(
      fc.property(results, views, (result, view) => {
        const label = labelOf(result, view).kind;
        if (result.outcome !== 'down') expect(label).not.toBe('suspect');
        if (result.outcome !== 'down' && result.proven) expect(label).toBe('keep');
        expect(labelOf(result, well).kind).toBe('keep');
      }),
    );
  });

  test('a worse network never makes a failure count more', () => {
    const weight = { network: 0, suspect: 1, keep: 2 };
    fc.assert(
      fc.property(results, views, fc.constantFrom(...scopes), (result, view, scope) => {
        const worse: NetworkView = {
          ...view,
          reach: { ...view.reach, [scope]: 'gone' },
          mass: { ...view.mass, [scope]: true },
        };
        const [before, after] = [labelOf(result, view).kind, labelOf(result, worse).kind];
        expect(weight[after]).toBeLessThanOrEqual(weight[before]);
      }),
    );
  });

  test('while the way is gone no silence is called down', () => {
    const silences: FailureCode[] = [
      'dns.timeout',
      'connect.timeout',
      'connect.unreachable',
      'tls.timeout',
      'wait.timeout',
      'body.timeout',
      'request.reset',
    ];
    fc.assert(
      fc.property(views, fc.constantFrom(...silences), fc.constantFrom(...scopes), (view, code, scope) => {
        const dead = { ...view, reach: { ...view.reach, [scope]: 'gone' as const } };
        expect(labelOf(down(code, { scope }), dead).kind).toBe('network');
      }),
    );
  });
});
