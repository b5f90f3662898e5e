update results r set tls = c.facts from certificates c where c.id = r.tls_id;
alter table results drop column tls_id;
drop table certificates;
