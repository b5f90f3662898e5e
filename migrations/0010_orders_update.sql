-- Checks that somebody asked for now: they live for seconds, so a crash may forget them.
create unlogged table orders (
  id text not null,
  probe_id bigint not null,
  region_id smallint not null,
  asked_by text not null,
  asked_at timestamptz not null default clock_timestamp(),
  until timestamptz not null,
  -- the assignment, sealed for this order and probe: who can only write to the database makes no probe check anything
  content text not null,
  -- what the probe answered, once
  answer jsonb,
  answered_at timestamptz,
  primary key (id, probe_id)
);
create index orders_asked_at on orders (asked_at);
