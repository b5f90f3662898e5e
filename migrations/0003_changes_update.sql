-- What LISTEN/NOTIFY tells at once, a poll finds out within a second: one number a topic that grows in the
-- transaction that changed something. Striped by connection, so that writers do not wait for one another.

create table change_versions (
  topic text not null,
  stripe smallint not null,
  version bigint not null,
  primary key (topic, stripe)
) with (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

create index gaps_stored_at on gaps (stored_at);
