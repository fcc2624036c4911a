"""A small server that speaks Open-Meteo's API with real observations of an earlier year.

`data` holds the observations, `clock` says what time it is in the replay, `answers` makes what `/v1/forecast` and
`/v1/archive` answer, `faults` what is put into them on purpose, `labels` fetches what that was, `server` serves it.
`weatherglass.history.sources.calendar` says which past time stands for now.
"""
