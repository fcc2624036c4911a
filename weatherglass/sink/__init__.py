"""The sink: a long-lived job that writes records from Kafka topics into the store."""
