-- An endpoint shows the same certificate for weeks: its facts stand here once, results point to them. They were more
-- than half of a row (314 bytes with them, 151 without; measured), of its WAL and of the disk.
create table certificates (
  -- the first 64 bits of the facts' SHA-256: what a hub remembers of ids stays true over a restored backup
  id bigint primary key,
  facts jsonb not null,
  -- by the database's clock; what was not seen for longer than results are kept is deleted
  seen_on date not null default current_date
) with (fillfactor = 70);
create index certificates_seen_on on certificates (seen_on);

-- In place of `tls`, which still holds the facts of rows that were there before.
alter table results add column tls_id bigint;
