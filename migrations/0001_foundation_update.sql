-- Regions, probes and how they come in; endpoints and who checks them; operators and what they did.
-- Instants are timestamptz where people and retention read them, bigint epoch microseconds (_us) where probes do.

create table regions (
  id smallint generated always as identity primary key,
  name text not null unique,
  created_at timestamptz not null default now()
);

create table probes (
  id bigint generated always as identity primary key,
  region_id smallint not null references regions (id),
  name text not null,
  -- Ed25519 public key, the 'x' of its JWK, and its RFC 7638 thumbprint
  public_key text not null,
  thumbprint text not null unique,
  status text not null check (status in ('pending', 'active', 'revoked')),
  enrollment uuid not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  -- HMAC over what decides: one who can only write here cannot make the hub trust a key
  mac bytea not null
);
create index probes_region on probes (region_id);

-- What changes with every lease, apart from what is signed over. No index but the key: HOT updates.
create table probe_presence (
  probe_id bigint primary key references probes (id) on delete cascade,
  seen_at timestamptz not null,
  lease_version bigint not null,
  lease_expires_at timestamptz not null,
  manifest text not null,
  capacity integer not null,
  noise_us integer not null,
  dropped bigint not null,
  spool_bytes bigint not null,
  version text not null,
  runtime text not null
) with (fillfactor = 50);

create table enrollments (
  jti uuid primary key,
  region_id smallint not null references regions (id),
  uses integer not null check (uses > 0),
  used integer not null default 0 check (used <= uses),
  approve boolean not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz
);

create table endpoints (
  id bigint generated always as identity primary key,
  name text not null,
  rev integer not null check (rev > 0),
  -- the document with defaults; sealed values are marked in it and kept in `sealed` by their path
  spec jsonb not null,
  sealed jsonb not null,
  source text not null,
  changed_at timestamptz not null,
  created_at timestamptz not null default now(),
  deleted_at timestamptz,
  mac bytea not null
);
create unique index endpoints_name on endpoints (name) where deleted_at is null;
create index endpoints_changed on endpoints (changed_at);

create table endpoint_revs (
  endpoint_id bigint not null references endpoints (id) on delete cascade,
  rev integer not null,
  spec jsonb not null,
  sealed jsonb not null,
  changed_at timestamptz not null,
  changed_by text not null,
  primary key (endpoint_id, rev)
);

-- Which probe checks which shard, with the rank among its replicas; until_us is null while it stays.
create table shard_owners (
  region_id smallint not null references regions (id),
  shard smallint not null check (shard between 0 and 255),
  rank smallint not null check (rank >= 0),
  probe_id bigint not null references probes (id) on delete cascade,
  from_us bigint not null,
  until_us bigint,
  primary key (region_id, shard, rank, from_us)
);
create index shard_owners_probe on shard_owners (probe_id);

create table api_tokens (
  id bigint generated always as identity primary key,
  name text not null,
  -- SHA-256 of a 256-bit random token
  hash bytea not null unique,
  scopes text[] not null,
  regions text[],
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);

create table sign_in_links (
  hash bytea primary key,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz
);

create table sessions (
  hash bytea primary key,
  actor text not null,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);

create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor text not null,
  action text not null,
  subject text not null,
  before jsonb,
  after jsonb,
  remote_ip text
);
create index audit_log_at on audit_log (at);

-- The hub's own memory across restarts and replicas (one row a key), such as when shards were last looked after.
create table hub_notes (
  key text primary key,
  value jsonb not null,
  changed_at timestamptz not null default now()
);
