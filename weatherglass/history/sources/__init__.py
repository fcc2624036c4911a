"""Readers of published historical observations: their files, units, known faults, and the replay calendar."""


class SourceError(ValueError):
    """A source file cannot be used; the message names the file and the problem."""
