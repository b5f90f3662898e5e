drop index gaps_stored_at;
drop table change_versions;
