"""How good the forecasts are on hours that nothing was learnt from: errors, baselines, intervals, and a page of it."""
