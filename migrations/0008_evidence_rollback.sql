drop table evidence;
alter table results drop column facts;
