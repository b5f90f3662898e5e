-- What a probe says of its own network and clock: null for one that says nothing (an older probe).
alter table probe_presence
  add column network_state text,
  add column network_since timestamptz,
  add column network_why text,
  -- how far its machine's clock is ahead of hub time
  add column clock_offset_us bigint;
