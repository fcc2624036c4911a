"""Hourly history: the rule of the hour, the hour grid, prepared history on disk, and the sources it is read from."""
