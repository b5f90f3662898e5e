import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { hubCommand } from '../hub/cli/hub.ts';
import { upCommand } from '../hub/cli/up.ts';
import { probeCommand } from '../probe/cli/probe.ts';
import { probeSettings, type SettingName, variableOf } from '../probe/cli/probe-settings.ts';
import type { CliContext } from '../shared/command-line.ts';
import { validateEndpoint } from '../shared/endpoint-document.ts';
import { knownSchemes, protocolNames } from '../shared/protocols.ts';
import { readSources, root } from './harness/imports.ts';

const readme = await readFile(join(root, 'README.md'), 'utf8');
const example = await readFile(join(root, '.env.example'), 'utf8');
const frontDoor = await readFile(join(root, 'parallax.ts'), 'utf8');
const sources = await readSources('hub', 'probe', 'deploy', 'shared');

/** What the code reads from the environment: `env.NAME`, names in quotes that begin like ours, the probe's settings. */
const variables = new Set([
  ...sources.flatMap(({ text }) =>
    [
      ...text.matchAll(/\benv\.([A-Z][A-Z_]{2,})\b/g),
      ...text.matchAll(/'((?:PARALLAX|KAFKA|INGEST|LOG|DATABASE)_[A-Z_]+)'/g),
    ].map(([, name = '']) => name.replace(/_FILE$/, '')),
  ),
  ...(Object.keys(probeSettings) as SettingName[]).map(variableOf),
  ...[...frontDoor.matchAll(/\benv\.([A-Z][A-Z_]{2,})\b/g)].map(([, name = '']) => name),
]);
/** Of the system, and of the probe's own environment. */
const others = [
  'PATH',
  'XDG_CACHE_HOME',
  'PARALLAX_TOKEN_FILE',
  'PARALLAX_ENROLL_TOKEN',
  'PARALLAX_ALLOW_PROXY',
  'PARALLAX_CONFIG',
];

const context: CliContext = {
  env: {},
  cwd: root,
  terminal: { out: () => undefined, err: () => undefined, columns: null, colour: false },
  signal: new AbortController().signal,
};

describe('what is documented', () => {
  test('every variable that the code reads stands in the README and in .env.example', () => {
    expect(variables.size).toBeGreaterThan(40);
    const missing = [...variables]
      .filter((name) => !others.includes(name))
      .flatMap((name) => [
        ...(readme.includes(name) ? [] : [`README: ${name}`]),
        ...(example.includes(name) ? [] : [`.env.example: ${name}`]),
      ]);
    expect(missing).toEqual([]);
  });

  test('.env.example names no variable that nothing reads', () => {
    const named = [...example.matchAll(/^#([A-Z][A-Z_]+)=/gm)].map(([, name = '']) => name);
    expect(named.length).toBeGreaterThan(40);
    const known = new Set([...variables, ...others, 'HTTPS_PROXY', 'NO_PROXY']);
    expect(named.filter((name) => !known.has(name) && !known.has(name.replace(/_FILE$/, '')))).toEqual([]);
  });

  test.each([
    ['hub', hubCommand],
    ['probe', probeCommand],
    ['up', upCommand],
  ] as const)('every flag of parallax %s stands in the README', (_, make) => {
    const flags = make(context).options.map(({ long }) => long);
    expect(flags.length).toBeGreaterThan(3);
    expect(flags.filter((flag) => !readme.includes(`\`${flag}\``))).toEqual([]);
  });

  test('every endpoint in its table of protocols is one, and every scheme has its row', () => {
    const written = [...readme.matchAll(/\| `(\{name: .*\})` \|$/gm)].map(([, text = '']) => text);
    expect(written.map((text) => validateEndpoint(parse(text))).filter((read) => 'problems' in read)).toEqual(
      [],
    );
    const shown = knownSchemes.filter((scheme) => readme.includes(`\`${scheme}://`));
    expect(shown).toEqual(knownSchemes);
    expect(written.length).toBe(protocolNames.length);
  });
});
