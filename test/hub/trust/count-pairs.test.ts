import { expect, test } from 'vitest';
import { countPairs } from '../../../hub/trust/count-pairs.ts';
import { memoryCatalog } from './memory-catalog.ts';

test('pairs are counted by region; who names none is checked from all, who is off from none', () => {
  const catalog = memoryCatalog();
  const regions = { regions: () => ['a', 'b', 'c'].map((name, index) => ({ id: index + 1, name })) };
  expect(countPairs(catalog, regions)).toBe(0);
  catalog.set(1, { name: 'everywhere', url: 'https://x.example/' });
  catalog.set(2, { name: 'two', url: 'https://x.example/', regions: ['a', 'c'] });
  catalog.set(3, { name: 'off', url: 'https://x.example/', enabled: false });
  expect(countPairs(catalog, regions)).toBe(5);
});
