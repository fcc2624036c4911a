"""Published observations of the past: what their files hold, their units, their faults, their calendar."""


class SourceError(ValueError):
    """A source's file cannot be used; the message names the file and what is wrong with it."""
