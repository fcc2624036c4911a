// Values and times as the reader wants them.
import { preference } from "./preferences.js";

const identity = (value) => value;
const CELSIUS = { unit: "°C", digits: 1, of: identity, difference: identity };
const SCALES = {
  c: CELSIUS,
  f: { unit: "°F", digits: 1, of: (value) => (value * 9) / 5 + 32, difference: (value) => (value * 9) / 5 },
  ms: { unit: "m/s", digits: 1, of: identity, difference: identity },
  kmh: { unit: "km/h", digits: 0, of: (value) => value * 3.6, difference: (value) => value * 3.6 },
  kn: { unit: "kn", digits: 0, of: (value) => (value * 3600) / 1852, difference: (value) => (value * 3600) / 1852 },
};

export const VARIABLES = ["temperature", "humidity", "pressure", "wind_speed"];
export const NAMES = {
  temperature: "Temperature",
  humidity: "Humidity",
  pressure: "Pressure",
  wind_speed: "Wind",
  wind_direction: "Wind direction",
};

export const CHECKS = {
  range: "impossible value",
  step: "sudden step",
  flat_line: "stuck value",
  forecast_residual: "far from the forecast",
  isolation_forest: "unusual state",
  consistency: "inconsistent values",
  buddy: "unlike its neighbours",
  spike: "spike",
  clock: "wrong clock",
  score: "unusual altogether",
};
export const checkName = (kind) => CHECKS[kind] ?? kind.replaceAll("_", " ");

export function scale(variable) {
  if (variable === "temperature") return SCALES[preference("temp")];
  if (variable === "wind_speed") return SCALES[preference("wind")];
  if (variable === "wind_direction") return { unit: "°", digits: 0, of: identity, difference: identity };
  return variable === "humidity"
    ? { unit: "%", digits: 0, of: identity, difference: identity }
    : { unit: "hPa", digits: 1, of: identity, difference: identity };
}

const missing = (value) => value === null || value === undefined;

export function inUnit(variable, value) {
  return missing(value) ? null : scale(variable).of(value);
}

/** "3.2", without the unit; a dash where the value is missing. */
export function bare(variable, value) {
  return missing(value) ? "–" : minus(scale(variable).of(value).toFixed(scale(variable).digits));
}

export function worded(variable, value) {
  return missing(value) ? "–" : `${bare(variable, value)} ${scale(variable).unit}`;
}

/** An error or another difference of a variable. */
export function apart(variable, value, digits = 2) {
  return missing(value) ? "–" : `${minus(scale(variable).difference(value).toFixed(digits))} ${scale(variable).unit}`;
}

const minus = (text) => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"));

const COMPASS = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"];
export const compass = (degrees) => (missing(degrees) ? "" : COMPASS[Math.round(degrees / 22.5) % 16]);

/** The zone in which a station's times are shown. */
export function zone(timezone) {
  return preference("time") === "local" && timezone ? timezone : "UTC";
}

const formats = new Map();
function format(timezone, options) {
  const key = timezone + JSON.stringify(options);
  if (!formats.has(key))
    formats.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: timezone, hourCycle: "h23", ...options }));
  return formats.get(key);
}

export const clockTime = (time, timezone) =>
  format(zone(timezone), { hour: "2-digit", minute: "2-digit" }).format(new Date(time));
export function dayTime(time, timezone) {
  const day = format(zone(timezone), { weekday: "short", day: "numeric", month: "short" }).format(new Date(time));
  return `${day.replace(",", "")}, ${clockTime(time, timezone)}`;
}
export const zoneName = (timezone) =>
  zone(timezone) === "UTC" ? "UTC" : timezone.split("/").pop().replaceAll("_", " ") + " time";

/** Plotly draws times without a zone as they stand, so this is the wall clock of the zone. */
export function wall(time, timezone) {
  const parts = Object.fromEntries(
    format(zone(timezone), {
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    })
      .formatToParts(new Date(time))
      .map((part) => [part.type, part.value]),
  );
  return `${parts.year}-${parts.month}-${parts.day} ${parts.hour}:${parts.minute}:${parts.second}`;
}

export function age(seconds) {
  if (missing(seconds)) return "–";
  const size = Math.abs(seconds);
  if (size < 90) return `${Math.round(seconds)} s`;
  if (size < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (size < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  return `${(count / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}
