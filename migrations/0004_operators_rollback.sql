drop index endpoints_by_name;
alter table sessions drop column mac;
alter table api_tokens drop column mac;
-- Their hashes mean nothing to an older hub.
delete from sign_in_links;
delete from sessions;
delete from api_tokens;
