"""Bodies of the DAGs' Python tasks: plain functions that read the settings and log to `airflow.task`.

The module name is the subject, the function name is the task id. Imports of engines and jobs stay inside the functions,
so that DAG parsing remains fast.
"""
