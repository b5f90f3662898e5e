-- Which topic it was: one that was deleted and made anew has the same name and other messages at the same offsets. Null
-- where the cluster gives topics no ids, and until the partition is next seated.
alter table kafka_progress add column topic_id text;
