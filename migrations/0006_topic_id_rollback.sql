alter table kafka_progress drop column topic_id;
