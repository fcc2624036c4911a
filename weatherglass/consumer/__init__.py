"""Reading of the topics: a reader that no record can stop, validation of records, copies for `weather-rejected`."""
