"""Benchmarks of the whole pipeline: each runs own jobs on the broker and the Ray head in use, apart from the others.

`scenarios` says what is run, `isolated` starts a pipeline of its own, and `host` ends and removes it, `events` and
`usage` measure it, `run` does all of this for a scenario, and `results` writes down what was measured.
"""
