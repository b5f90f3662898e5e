// Runs in a network namespace: pings what its argument says, and prints what was seen, one JSON array.
import { checkOnce, policyOf, startChecker, type Wish } from './scene.ts';

const asked = JSON.parse(process.argv[2] ?? '[]') as readonly (readonly [url: string, wish: Wish])[];
const checker = await startChecker({ policy: policyOf('10.0.0.0/8', 'fd00::/8', '127.0.0.0/8') });
const seen = await Promise.all(asked.map(([url, wish]) => checkOnce(checker, url, wish)));
console.log(JSON.stringify(seen));
await checker.close();
