"""The REST API: a FastAPI app, mounted in Airflow behind its login or standalone (`python -m weatherglass.api`)."""
