// Raw guidance on the page Station: what weather models predicted for the hours of a forecast, and what it used of them.
import { get } from "./api.js";
import { guidanceLabel } from "./guidance_label.js";
import { formatDateTime, VARIABLE_LABELS, VARIABLES } from "./units.js";

const LONGEST_LEAD_MS = 24 * 3600e3;

/**
 * The newest run of each weather model that a forecast knew: those received until its base hour, 24 hours before the
 * last valid time. Each has a label and, for the valid times of the forecast, values by variable in the unit of the API.
 * path: the id of the station in a URL; leads: of the forecast.
 */
export async function getRawGuidance(path, leads) {
  if (!leads.length) return [];
  const validTimes = new Set(leads.map((lead) => Date.parse(lead.valid_time)));
  const baseHour = new Date(Math.max(...validTimes) - LONGEST_LEAD_MS).toISOString();
  const { models } = await get(`/guidance/${path}`, { known_at: baseHour });
  return models.map((run) => ({
    model: run.model,
    simulated: run.simulated,
    received: run.fetched_at,
    hours: run.values.valid_times
      .map((time, index) => ({
        valid_time: time,
        ...Object.fromEntries(VARIABLES.map((name) => [name, run.values[name][index]])),
      }))
      .filter((hour) => validTimes.has(Date.parse(hour.valid_time))),
  }));
}

/** Which path produced a forecast: the method, the version, and the guidance that it used. */
export function provenance({ method, model_version: version, guidance }, timezone) {
  const made =
    method === "model" ? `model version ${version}` : `${method.replaceAll("_", " ")}, a fallback with wider intervals`;
  if (!guidance) return `Method: ${made}, from observations of stations alone, without guidance.`;
  const runs = guidance.runs.map(
    ({ model, run }) =>
      `${guidanceLabel({ model, simulated: guidance.simulated })}, run of ${formatDateTime(run, timezone)}`,
  );
  const variables = guidance.variables.map((name) => VARIABLE_LABELS[name]?.toLowerCase() ?? name);
  return `Method: ${made}, combined by guidance version ${guidance.model_version} with ${runs.join("; ")} (${variables.join(", ")}).`;
}
