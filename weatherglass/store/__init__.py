"""The SQL store of observations, predictions and anomalies: SQLite on one machine, PostgreSQL in a cluster.

All writes are upserts on a record's identity, so storing a record twice has no effect. `stored_at` is the time at which
the current content of a record arrived; a repeat with unchanged content does not change it.
"""
