"""Supervision of long-lived jobs: a deferrable operator, its trigger, and what they read from the job's folder.

The job host (`weatherglass.jobs.host`) starts and ends the processes. What is here asks for it, watches, and tells
Airflow's user.
"""
