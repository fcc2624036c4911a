"""A server that implements Open-Meteo's API with real observations of an earlier year.

`data` has the observations, `clock` the time of the replay, `api` the responses of `/v1/forecast` and `/v1/archive`,
`faults` the injected faults, `labels` a client for their labels, and `server` the HTTP server.
`weatherglass.history.sources.calendar` maps the present to a time of the data.
"""
