"""Quality control: checks of observations, of series and of history, and the status of stations."""
