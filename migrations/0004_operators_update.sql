-- Who signs in is vouched for by the hub's HMAC key, so that one who can only write here cannot make an operator.
-- What was made before bears no such mark and is void: `parallax sign-in` on the hub's machine lets one in again.

delete from sign_in_links;
delete from sessions;
delete from api_tokens;

-- HMAC over the hash and all that it is good for
alter table api_tokens add column mac bytea not null;
alter table sessions add column mac bytea not null;

-- Lists go by code point, whatever the database's locale: a page of 100,000 endpoints is a walk, not a sort.
create index endpoints_by_name on endpoints (name collate "C") where deleted_at is null;
