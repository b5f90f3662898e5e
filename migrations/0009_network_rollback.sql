alter table probe_presence
  drop column clock_offset_us,
  drop column network_why,
  drop column network_since,
  drop column network_state;
