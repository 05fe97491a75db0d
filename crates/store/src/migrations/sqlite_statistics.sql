-- What SQLite's planner believes of `deliveries`: of a receiver's many rows few are open. It keeps
-- no statistics by itself, and without them it walks all that a receiver ever got. Rows in all,
-- then rows that share each longer prefix of the index.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1 WHERE tbl = 'deliveries';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('deliveries', 'deliveries', '1000000 50000 1'),
  ('deliveries', 'deliveries_due', '1000 1000 100 1'),
  ('deliveries', 'deliveries_due_by_place', '1000 100 1'),
  ('deliveries', 'deliveries_open', '1000 100 2 1'),
  ('deliveries', 'deliveries_parked', '1000 100 1'),
  ('deliveries', 'deliveries_halted', '100 10 2'),
  ('deliveries', 'deliveries_replayed', '1000 100 50'),
  ('deliveries', 'deliveries_by_env', '1000000 500000 2 1');
ANALYZE sqlite_schema;
