"""The launcher: starts, watches and stops everything on one machine."""
