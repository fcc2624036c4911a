"""The server for consumer weather stations, which can be pointed at the protocols of Weather Underground or Ecowitt."""
