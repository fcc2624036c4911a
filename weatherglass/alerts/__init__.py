"""Metric definitions, alert rules and pipeline health: definitions and pure functions, no I/O except in `health`.

`metrics` lists every metric and `rules` every alert rule of the monitor. The monitor evaluates the rules
(`rule_evaluator`); Prometheus' rule file and Alertmanager's configuration (`prometheus_rules`) are generated from them.
"""
