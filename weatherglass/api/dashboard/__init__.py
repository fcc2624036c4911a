"""The dashboard: pages around the REST API, drawn by small modules, without anything from the internet."""
