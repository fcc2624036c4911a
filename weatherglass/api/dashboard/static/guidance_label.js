/** What raw guidance is called: it is Open-Meteo's own forecast, unless the replay server made it. */
export const guidanceKind = (simulated) => (simulated ? "simulated guidance" : "Open-Meteo's own forecast");

const DEFAULT_MODEL = "best_match";

/** The same with the id of the weather model, unless that is Open-Meteo's combination of all. */
export const guidanceLabel = ({ model, simulated }) =>
  guidanceKind(simulated) + (model === DEFAULT_MODEL ? "" : ` (${model})`);
