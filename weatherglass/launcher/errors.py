"""Errors that end a start."""

from __future__ import annotations


class StartError(RuntimeError):
    """Weatherglass cannot be started; the message contains the reason and the remedy."""


class StateFolderError(StartError):
    """The state folder was created by a version with another layout."""


class PipelineError(StartError):
    """A step of the pipeline that everything else needs has failed; the message contains the end of its log."""
