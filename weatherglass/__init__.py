"""Weatherglass: the domain, its applications (API, monitor, sink, launcher), and the command line.

`pyproject.toml` defines the layers; an import only points down. No module imports Airflow, Spark or Ray.
"""
