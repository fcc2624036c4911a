"""Monitoring: what is measured, when that is an alert, how stations have done. Pure; the watcher collects and sends.

`metrics` is the one list of what is measured, `rules` the one list of alerts on it. From the latter are made the
watcher's evaluation (`watch`), Prometheus' rule file (`prometheus`) and the entries of docs/troubleshooting.md.
"""
