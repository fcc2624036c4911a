"""The store: what was observed, forecast and flagged, in SQL (SQLite on one machine, PostgreSQL in a cluster).

All writes are upserts on a record's identity, so storing a record twice is storing it once. `stored_at` is the time
a record's present content arrived; a repeat with unchanged content does not move it.
"""
