"""A server that implements the APIs of Open-Meteo and METAR with real observations of an earlier year.

`data` has the observations, `clock` the time of the replay, `api` the responses of `/v1/forecast` and `/v1/archive`,
`metar_api` those of `/api/data/metar`, `faults` the injected faults, `labels` a client for their labels, and `server`
the HTTP server.
`weatherglass.history.sources.calendar` maps the present to a time of the data.
"""
