"""The command `weatherglass`."""
