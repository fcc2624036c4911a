// Formatting of values and times according to the user's preferences.
import { getPreference } from "./preferences.js";

const identity = (value) => value;
const unit = (symbol, digits, convert = identity, convertDifference = convert) => ({
  unit: symbol,
  digits,
  convert,
  convertDifference,
});
const TEMPERATURE_UNITS = {
  c: unit("°C", 1),
  f: unit(
    "°F",
    1,
    (value) => (value * 9) / 5 + 32,
    (value) => (value * 9) / 5,
  ),
};
const WIND_UNITS = {
  ms: unit("m/s", 1),
  kmh: unit("km/h", 0, (value) => value * 3.6),
  kn: unit("kn", 0, (value) => (value * 3600) / 1852),
};
const FIXED_UNITS = { humidity: unit("%", 0), pressure: unit("hPa", 1), wind_direction: unit("°", 0) };

export const VARIABLES = ["temperature", "humidity", "pressure", "wind_speed"];
export const VARIABLE_LABELS = {
  temperature: "Temperature",
  humidity: "Humidity",
  pressure: "Pressure",
  wind_speed: "Wind speed",
};

const CHECK_LABELS = {
  range: "impossible value",
  step: "sudden change",
  flat_line: "stuck value",
  consistency: "inconsistent values",
  learned_score: "unusual overall",
  forecast_residual: "far from expected value",
  neighbours: "differs from neighbours",
  isolation_forest: "unusual combination",
};
export const checkLabel = (check) => CHECK_LABELS[check] ?? check.replaceAll("_", " ");

const COMPONENT_LABELS = {
  stream_features: "Features (Spark)",
  serve_predictions: "Inference (Ray)",
  store_predictions: "Sink",
  kafka: "Kafka",
  ray: "Ray",
  job_host: "Job host",
  monitor_pipeline: "Monitor",
  store: "Store",
  observations: "Observations",
  predictions: "Predictions",
  model: "Model",
};
export const componentLabel = (name) =>
  COMPONENT_LABELS[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

export const alertTitle = ({ rule, subject }) =>
  `${rule.charAt(0).toUpperCase()}${rule.slice(1).replaceAll("_", " ")}: ${subject}`;

/** The unit in which a variable is displayed: symbol, digits and conversions from the unit of the API. */
export function displayUnit(variable) {
  if (variable === "temperature") return TEMPERATURE_UNITS[getPreference("temp")];
  if (variable === "wind_speed") return WIND_UNITS[getPreference("wind")];
  return FIXED_UNITS[variable];
}

const isMissing = (value) => value === null || value === undefined;

export function toDisplayUnit(variable, value) {
  return isMissing(value) ? null : displayUnit(variable).convert(value);
}

/** For example "3.2", without the unit; a dash if the value is missing. */
export function formatValue(variable, value) {
  if (isMissing(value)) return "–";
  const { convert, digits } = displayUnit(variable);
  return withMinusSign(convert(value).toFixed(digits));
}

export function formatWithUnit(variable, value) {
  return isMissing(value) ? "–" : `${formatValue(variable, value)} ${displayUnit(variable).unit}`;
}

/** A difference of two values with its unit, for example an error. */
export function formatDifference(variable, value, digits = 2) {
  if (isMissing(value)) return "–";
  const { convertDifference, unit: symbol } = displayUnit(variable);
  return `${withMinusSign(convertDifference(value).toFixed(digits))} ${symbol}`;
}

const withMinusSign = (text) => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"));

const COMPASS_POINTS = [
  "N",
  "NNE",
  "NE",
  "ENE",
  "E",
  "ESE",
  "SE",
  "SSE",
  "S",
  "SSW",
  "SW",
  "WSW",
  "W",
  "WNW",
  "NW",
  "NNW",
];
export const compassPoint = (degrees) => (isMissing(degrees) ? "" : COMPASS_POINTS[Math.round(degrees / 22.5) % 16]);

/** The time zone in which the times of a station are displayed; UTC if the browser does not know the station's. */
export function displayZone(timezone) {
  return getPreference("time") === "local" && timezone && isKnownZone(timezone) ? timezone : "UTC";
}

const knownZones = new Map();
function isKnownZone(timezone) {
  if (!knownZones.has(timezone)) {
    try {
      new Intl.DateTimeFormat("en-GB", { timeZone: timezone });
      knownZones.set(timezone, true);
    } catch {
      knownZones.set(timezone, false);
    }
  }
  return knownZones.get(timezone);
}

const formatters = new Map();
function dateFormatter(timezone, options) {
  const key = timezone + JSON.stringify(options);
  if (!formatters.has(key))
    formatters.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: timezone, hourCycle: "h23", ...options }));
  return formatters.get(key);
}

export const formatTime = (time, timezone) =>
  dateFormatter(displayZone(timezone), { hour: "2-digit", minute: "2-digit" }).format(new Date(time));
export function formatDateTime(time, timezone) {
  const day = dateFormatter(displayZone(timezone), { weekday: "short", day: "numeric", month: "short" }).format(
    new Date(time),
  );
  return `${day.replace(",", "")}, ${formatTime(time, timezone)}`;
}

/** For example "UTC" or "New York time". */
export const displayZoneName = (timezone) =>
  displayZone(timezone) === "UTC" ? "UTC" : timezone.split("/").pop().replaceAll("_", " ") + " time";

/** Local time in the display zone without a UTC offset, which Plotly shows unchanged. */
export function toPlotTime(time, timezone) {
  const parts = Object.fromEntries(
    dateFormatter(displayZone(timezone), {
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

export function formatAge(seconds) {
  if (isMissing(seconds)) return "–";
  const size = Math.abs(seconds);
  if (size < 90) return `${Math.round(seconds)} s`;
  if (size < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (size < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export function formatBytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  return `${(count / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}
