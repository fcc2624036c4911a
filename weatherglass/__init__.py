"""The domain of Weatherglass: records, stations, quality, history, models, store, health.

Nothing here needs Airflow, Spark, Ray or Kafka to be imported, and nothing here imports the floors above.
"""
