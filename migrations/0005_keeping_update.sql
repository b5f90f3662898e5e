-- What keeps itself: until when results are sealed, which replicas run, and vacuum that holds under load.

-- What was due before it has outlived retention: its partitions are gone, and none is made again. It moves forward
-- alone, in the transaction that drops them, so every replica refuses the same results whatever its clock says.
create table results_seal (
  one boolean primary key default true check (one),
  sealed_until timestamptz not null,
  changed_at timestamptz not null default now()
);

-- A row a running hub process, written every few seconds: what `parallax status` shows of replicas it cannot ask.
create table hub_replicas (
  id uuid primary key,
  host text not null,
  pid integer not null,
  version text not null,
  roles text[] not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  report jsonb not null
) with (fillfactor = 50);

-- Few rows that change with every transaction: the default of "a fifth of the table" never comes for them by rows and
-- the launcher's naptime is what bounds them; without a delay a vacuum of such a table is over in milliseconds.
alter table streams set (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
alter table kafka_progress set (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
alter table probe_presence set (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
alter table reject_counts set (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
-- A million rows, each updated every interval: HOT prunes most of it, the rest is vacuumed in twentieths.
alter table latest_results set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);
