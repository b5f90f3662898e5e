import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTargetPolicy } from '../../../probe/policy/target-policy.ts';
import { parseNetworkRule } from '../../../shared/network-rule.ts';

const policyOf = (networks: readonly string[], hubOrigins: readonly string[] = []) =>
  createTargetPolicy({ allowNetworks: networks.map(parseNetworkRule), allowProxy: false, hubOrigins });

const closed = policyOf([]);
/** An owner who opened everything that can be opened. */
const open = policyOf(['0.0.0.0/0', '::/0']);

describe('what is refused in any case', () => {
  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '169.254.0.1',
    '169.254.169.254',
    '100.100.100.200',
    '192.0.0.192',
    '168.63.129.16',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    'fe80::1',
    'febf::1',
    'ff02::1',
    'fd00:ec2::254',
    'fd20:ce::254',
    // Forms of what is not public.
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.0.0.1',
    '::ffff:169.254.169.254',
    '::ffff:0:127.0.0.1',
    '::127.0.0.1',
    '::a00:1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '2002:7f00:1::',
    '2002:a9fe:a9fe::1',
    '2002:c0a8:101::1',
    // Teredo: a private server, a private client.
    '2001:0:a00:1::f7f7:f7f7',
    '2001:0:808:808::f5ff:fffe',
    // Zones.
    'fe80::1%eth0',
    '2606:4700::1%lo',
    // No addresses.
    'localhost',
    '1.2.3.4.5',
    '',
  ])('%s', (address) => {
    expect(closed.refuseAddress(address, 80)).not.toBeNull();
    expect(open.refuseAddress(address, 80)).not.toBeNull();
  });
});

describe('what its owner may open', () => {
  test.each([
    '127.0.0.1',
    '127.255.255.254',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    '100.127.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '198.51.100.1',
    '203.0.113.1',
    '198.18.0.1',
    '198.19.255.255',
    '192.88.99.1',
    '::1',
    'fc00::1',
    'fdff::1',
    'fec0::1',
    '2001:db8::1',
    '3fff::1',
    '64:ff9b:1::a00:1',
    '100::1',
  ])('%s', (address) => {
    expect(closed.refuseAddress(address, 80)).toMatch(/--allow-network/);
    expect(open.refuseAddress(address, 80)).toBeNull();
    expect(policyOf([address]).refuseAddress(address, 80)).toBeNull();
    const port = address.includes(':') ? `[${address}]:443` : `${address}:443`;
    expect(policyOf([port]).refuseAddress(address, 80)).not.toBeNull();
    expect(policyOf([port]).refuseAddress(address, 443)).toBeNull();
  });
});

describe('what is public', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.1',
    '169.253.255.255',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '223.255.255.255',
    '2606:4700::1111',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2002:808:808::1',
  ])('%s', (address) => {
    expect(closed.refuseAddress(address, 443)).toBeNull();
    expect(closed.refuseAddress(address, 25)).toMatch(/port 25/);
    expect(closed.refuseAddress(address, 0)).not.toBeNull();
    expect(closed.refuseAddress(address, 65_536)).not.toBeNull();
  });

  test('port 25 where it is named', () => {
    expect(policyOf(['8.8.8.8:25']).refuseAddress('8.8.8.8', 25)).toBeNull();
    expect(policyOf(['8.8.8.0/24']).refuseAddress('8.8.8.8', 25)).toBeNull();
    expect(policyOf(['8.8.8.8:587']).refuseAddress('8.8.8.8', 25)).not.toBeNull();
  });
});

test('every form of an address that is not public is refused, whatever was opened', () => {
  const inner = fc.oneof(
    fc.tuple(fc.constantFrom(0, 10, 127, 224, 240, 255), fc.nat(255), fc.nat(255), fc.nat(255)),
    fc.tuple(fc.constant(169), fc.constant(254), fc.nat(255), fc.nat(255)),
    fc.tuple(fc.constant(192), fc.constant(168), fc.nat(255), fc.nat(255)),
    fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), fc.nat(255), fc.nat(255)),
    fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), fc.nat(255), fc.nat(255)),
  );
  fc.assert(
    fc.property(inner, ([a, b, c, d]) => {
      const group = (high: number, low: number) => ((high << 8) | low).toString(16);
      const [one, two] = [group(a, b), group(c, d)];
      const turned = [group(a ^ 255, b ^ 255), group(c ^ 255, d ^ 255)].join(':');
      for (const form of [
        `::ffff:${one}:${two}`,
        `::ffff:0:${one}:${two}`,
        `64:ff9b::${one}:${two}`,
        `2002:${one}:${two}::1`,
        `2001:0:${one}:${two}::f7f7:f7f7`,
        `2001:0:808:808:0:0:${turned}`,
      ]) {
        expect(open.refuseAddress(form, 443), form).not.toBeNull();
        expect(closed.refuseAddress(form, 443), form).not.toBeNull();
      }
    }),
  );
});

describe('the hub is never a target', () => {
  const policy = policyOf(
    ['127.0.0.0/8', '::1', '203.0.113.5'],
    ['https://Hub.example', 'http://localhost:7070', 'https://203.0.113.5:8443'],
  );
  test.each<[string, number, boolean]>([
    ['hub.example', 443, true],
    ['HUB.EXAMPLE.', 443, true],
    ['hub.example', 80, false],
    ['shop.hub.example', 443, false],
    ['localhost', 7070, true],
    ['127.0.0.1', 7070, true],
    ['[::1]', 7070, true],
    ['[0:0:0:0:0:0:0:1]', 7070, true],
    ['localhost', 7071, false],
    ['203.0.113.5', 8443, true],
  ])('%s on port %d: %s', (host, port, refused) => {
    expect(policy.refuseHost(host, port) !== null).toBe(refused);
  });

  test.each<[string, number, boolean]>([
    ['127.0.0.1', 7070, true],
    ['::1', 7070, true],
    ['127.0.0.1', 7071, false],
    // A hub that listens on every address of this machine is there too.
    ['127.0.0.2', 7070, true],
    ['203.0.113.5', 8443, true],
    ['203.0.113.5', 443, false],
  ])('the address %s on port %d, whatever name led there: %s', (address, port, refused) => {
    expect(policy.refuseAddress(address, port) !== null).toBe(refused);
  });
});

describe('--allow-network', () => {
  test.each<[string, string, number, number | null]>([
    ['10.0.0.0/8', '10.0.0.0', 8, null],
    ['10.0.0.0/8:443', '10.0.0.0', 8, 443],
    ['10.0.0.5', '10.0.0.5', 32, null],
    ['10.0.0.5:8080', '10.0.0.5', 32, 8080],
    ['127.0.0.1/32:7070', '127.0.0.1', 32, 7070],
    ['fd00::/8', 'fd00::', 8, null],
    ['fd00::/8:443', 'fd00::', 8, 443],
    ['fd00::5', 'fd00::5', 128, null],
    ['[fd00::5]', 'fd00::5', 128, null],
    ['[fd00::5]:443', 'fd00::5', 128, 443],
    ['[fd00::]/8:443', 'fd00::', 8, 443],
    ['::1', '::1', 128, null],
  ])('%s', (text, network, prefix, port) => {
    const rule = parseNetworkRule(text);
    expect([rule.network.toString(), rule.prefix, rule.port]).toEqual([network, prefix, port]);
  });

  test.each([
    '',
    '10',
    '10.1',
    '10.0.0.0/33',
    '10.0.0.0/x',
    '10.0.0.0/8:',
    '10.0.0.0/8:0',
    '10.0.0.0/8:65536',
    '10.0.0.0/8:443:1',
    '0x7f000001',
    '010.0.0.1',
    '::1/129',
    'fe80::1%eth0',
    'localhost',
    '10.0.0.0-10.0.0.9',
    '[10.0.0.1',
  ])('%j is refused', (text) => {
    expect(() => parseNetworkRule(text)).toThrow(text === '' ? /not a network/ : text.slice(0, 3));
  });
});
