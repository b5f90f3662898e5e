-- What a protocol alone has to tell of a check (dns answers, ping's losses): null for most.
alter table results add column facts jsonb;

-- What was seen when an endpoint went down: few rows, kept a week whatever results are kept for.
create table evidence (
  endpoint_id bigint not null,
  region_id smallint not null,
  scheduled_at timestamptz not null,
  probe_id bigint not null,
  content jsonb not null,
  primary key (endpoint_id, region_id, scheduled_at, probe_id)
);
create index evidence_scheduled_at on evidence (scheduled_at);
