"""The monitor: collects metrics of every component, evaluates alert rules, sends notifications, records metrics.

Each `*_metrics` module has a class with the method `collect(sample)`. It writes what it measured into the sample, omits
what cannot be measured now, and raises no exception that is caused by a failed component.
"""
