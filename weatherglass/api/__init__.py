"""The REST API: one FastAPI app, mounted in Airflow behind its login, or alone (`python -m weatherglass.api`)."""
