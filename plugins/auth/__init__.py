"""Users and roles of Airflow in the cluster."""
