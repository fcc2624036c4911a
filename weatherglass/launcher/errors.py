"""Why a start ends."""

from __future__ import annotations


class StartError(RuntimeError):
    """The stack cannot be started; the message says why and what to do."""


class PipelineError(StartError):
    """A step without which nothing works has failed; the message holds the last lines of its log."""
