"""Training: its plan, its steps (each a Ray task whose result is kept on disk), the comparison, the record."""
