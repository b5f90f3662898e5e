drop table kafka_progress;
drop table reject_counts;
drop table rejects;
drop table gaps;
drop table streams;
drop table latest_results;
drop table results;
