"""The watcher: looks at every part of the pipeline, tells what is wrong, and keeps what it has measured.

Each module that measures has a class with `look(sample)`: it puts what it found into the sample, leaves out what cannot
be known now, and raises nothing that a broken part causes.
"""
