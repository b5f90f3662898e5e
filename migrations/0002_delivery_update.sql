-- What probes deliver: results, how far each stream and partition has come, and what was refused.

create table results (
  endpoint_id bigint not null,
  region_id smallint not null,
  scheduled_at timestamptz not null,
  probe_id bigint not null,
  rev integer not null,
  -- 0 slot, 1 extra, 2 confirm
  kind smallint not null,
  -- 0 up, 1 degraded, 2 down, 3 skipped
  outcome smallint not null,
  suspect boolean not null,
  truncated boolean not null,
  attempts smallint not null,
  redirects smallint not null,
  status smallint,
  late_by_us integer not null,
  dns_us integer,
  connect_us integer,
  tls_us integer,
  wait_us integer,
  transfer_us integer,
  total_us integer not null,
  bytes bigint not null,
  failure_code text,
  failure_message text,
  first_failure text,
  http_version text,
  remote_ip text,
  tls jsonb,
  primary key (endpoint_id, region_id, scheduled_at, probe_id)
) partition by range (scheduled_at);

-- The newest result of each pair, written in the transaction that stores it. No other index: HOT updates.
create table latest_results (
  endpoint_id bigint not null,
  region_id smallint not null,
  scheduled_at timestamptz not null,
  probe_id bigint not null,
  rev integer not null,
  outcome smallint not null,
  suspect boolean not null,
  status smallint,
  total_us integer not null,
  failure_code text,
  failure_message text,
  primary key (endpoint_id, region_id)
) with (fillfactor = 50);

-- One spool's sequence: all up to `up_to` is stored, rejected or in a gap record, and so is what `ranges` holds above it.
create table streams (
  stream text primary key,
  probe_id bigint not null references probes (id),
  up_to bigint not null default 0,
  ranges int8multirange not null default '{}',
  created_at timestamptz not null default now(),
  last_at timestamptz not null default now()
) with (fillfactor = 50);
create index streams_probe on streams (probe_id);

create table gaps (
  stream text not null,
  seq bigint not null,
  probe_id bigint not null,
  from_seq bigint not null,
  to_seq bigint not null,
  results bigint not null,
  from_scheduled_at timestamptz not null,
  to_scheduled_at timestamptz not null,
  reason text not null,
  stored_at timestamptz not null default now(),
  primary key (stream, seq, from_seq)
);

create table rejects (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  reason text not null,
  detail text not null,
  kid text,
  probe_id bigint,
  stream text,
  seq bigint,
  topic text,
  kafka_partition integer,
  kafka_offset bigint,
  -- what was refused, as far as it could be read: at most 64 KiB
  content bytea
);
create index rejects_at on rejects (at);

-- Every reject is counted; only the first of an hour, reason and probe are kept whole.
create table reject_counts (
  hour timestamptz not null,
  reason text not null,
  probe_id bigint not null,
  count bigint not null,
  primary key (hour, reason, probe_id)
);

-- The authority on what was consumed: advanced in the transaction that stores the rows.
create table kafka_progress (
  cluster_id text not null,
  topic text not null,
  kafka_partition integer not null,
  next_offset bigint not null,
  changed_at timestamptz not null default now(),
  primary key (cluster_id, topic, kafka_partition)
) with (fillfactor = 50);
