"""The sink: a long-lived job that writes predictions, features and observations from their topics into the store."""
