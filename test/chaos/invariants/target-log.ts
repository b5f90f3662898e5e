import { type Evidence, type Finding, type Violation, violated } from './invariant.ts';

interface Answered {
  readonly name: string;
  readonly url: string;
  readonly answered: number;
  readonly wrong: number;
}

/**
 * 1 and 3, by the targets' own request log: nobody stores an answer that no target gave. Each row with a status was
 * answered by a target, so there are at least as many requests to its path as rows; what always answers 503 is never up,
 * and what never does has no 503. Cannot see a row that says less than the truth, such as a timeout of the network.
 */
export async function asTargetsAnswered({ network }: Evidence): Promise<Finding> {
  const rows = await network.db().many<Answered>(
    `select e.name, e.spec ->> 'url' as url, count(*) filter (where r.status is not null)::int8 as answered,
            count(*) filter (where case when e.spec ->> 'url' like '%/failing/%' then r.status = 200
              when e.spec ->> 'url' like '%/mixed/%' then r.status not in (200, 503)
              else r.status = 503 end)::int8 as wrong
     from results r join endpoints e on e.id = r.endpoint_id
     where e.name not like 'decoy-%' group by e.id`,
  );
  const violations: Violation[] = [];
  const more = rows.filter(({ url, answered }) => answered > asked(network.targets.asked, url));
  if (more.length > 0) {
    violations.push(
      violated(
        '1 exactly once',
        'more answers are stored than targets gave',
        more.map(
          ({ name, url, answered }) =>
            `${name}: ${answered} stored, ${asked(network.targets.asked, url)} asked`,
        ),
      ),
    );
  }
  const wrong = rows.filter((row) => row.wrong > 0);
  if (wrong.length > 0) {
    violations.push(
      violated(
        '3 region',
        'answers are stored that the target never gives',
        wrong.map((row) => `${row.name}: ${row.wrong} rows`),
      ),
    );
  }
  return { violations, counts: { answered: rows.reduce((sum, row) => sum + row.answered, 0) } };
}

function asked(log: ReadonlyMap<string, number>, url: string): number {
  return log.get(URL.parse(url)?.pathname ?? '') ?? 0;
}
