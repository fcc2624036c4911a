"""Supervision of long-lived jobs: a deferrable operator and its trigger.

The job host (`weatherglass.jobs.host`) starts and ends the processes. This package sends it requests, checks the job's
heartbeat and copies its progress to the task log.
"""
