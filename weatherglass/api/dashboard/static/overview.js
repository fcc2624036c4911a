// The page Overview: summary, station map, newest anomalies, and a table of all stations.
import { anomalyItem } from "./anomaly_item.js";
import { get, getAll } from "./api.js";
import { byId, h, renderButtonGroup, renderList, setText, summaryTile } from "./dom.js";
import { StationMap } from "./map.js";
import { getPreference, getUrlParam, setUrlParams } from "./preferences.js";
import { scoreTile } from "./score_tile.js";
import { showSources, sourceLabel, startPage, stationUrl } from "./shell.js";
import {
  compassPoint,
  displayUnit,
  displayZoneName,
  formatTime,
  formatValue,
  formatWithUnit,
} from "./units.js";
import { byStation, formatCondition, formatProbability } from "./weather_alert_item.js";

const MAP_COLORS = [
  ["temperature", "Temperature"],
  ["wind_speed", "Wind"],
  ["pressure", "Pressure"],
  ["anomaly", "Anomalies"],
];
// Perceptually uniform and safe for colour-blind users. Source: ColorBrewer RdYlBu, YlGnBu and PuOr, with a darker middle.
const COLOR_RAMPS = {
  temperature: ["#2c4a9e", "#4a8cc4", "#79bcc9", "#c9b458", "#dc7b3c", "#b0243a"],
  wind_speed: ["#8fb4bd", "#4d97ae", "#2a6fa3", "#33438f", "#5b1f79"],
  pressure: ["#7a3b8f", "#5d76b8", "#6ea6a4", "#b9953f", "#8c5a17"],
};
const COLOR_RANGES = { temperature: [-15, 35], wind_speed: [0, 20] };
const REPORTING_SECONDS = 2 * 3600;

let mapColor = getUrlParam("colour", "temperature");
let stations = [];
let weatherAlerts = new Map(); // open ones, by station id
let rendered = false;
const map = new StationMap(byId("map"), stationUrl);
const mapLegend = h("div", { class: "scale" });
byId("map").append(mapLegend);

renderButtonGroup(byId("map-color"), MAP_COLORS, mapColor, (value) => {
  mapColor = value;
  setUrlParams({ colour: value === "temperature" ? null : value });
  updateMap();
});

function interpolateColor(ramp, fraction) {
  const position = Math.max(0, Math.min(1, fraction)) * (ramp.length - 1);
  const [low, high] = [ramp[Math.floor(position)], ramp[Math.ceil(position)]];
  const channel = (hex, offset) => parseInt(hex.slice(offset, offset + 2), 16);
  const mix = (offset) => channel(low, offset) + (channel(high, offset) - channel(low, offset)) * (position % 1);
  return `rgb(${[1, 3, 5].map((offset) => Math.round(mix(offset))).join(" ")})`;
}

/** Range of the colour scale: fixed for temperature and wind, symmetric about the mean of the stations for pressure. */
function colorRange(variable) {
  if (COLOR_RANGES[variable]) return COLOR_RANGES[variable];
  const values = stations.map((row) => mapValue(row, variable)).filter((value) => value !== null);
  const mean = values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
  const half = Math.max(8, ...values.map((value) => Math.abs(value - mean)));
  return [mean - half, mean + half];
}

/** The value of the newest observation. Pressure is reduced to sea level. Source: ICAO standard atmosphere. */
function mapValue(row, variable) {
  const value = row.newest?.[variable] ?? null;
  if (variable !== "pressure" || value === null) return value;
  return row.station.elevation === null ? null : value / (1 - 2.25577e-5 * row.station.elevation) ** 5.25588;
}

function updateMap() {
  const located = stations.filter((row) => row.station.latitude !== null);
  const variable = mapColor === "anomaly" ? "temperature" : mapColor;
  const range = colorRange(variable);
  map.show(
    located.map(({ station }) => ({
      id: station.station_id,
      name: station.name,
      longitude: station.longitude,
      latitude: station.latitude,
    })),
    new Map(located.map((row) => [row.station.station_id, markerStyle(row, variable, range)])),
  );
  renderMapLegend(variable, range);
}

function markerStyle(row, variable, [low, high]) {
  const css = getComputedStyle(document.documentElement);
  const cssColor = (name) => css.getPropertyValue(name).trim();
  const value = mapValue(row, variable);
  const flagged = row.is_anomaly === true;
  let color =
    value === null ? cssColor("--quiet") : interpolateColor(COLOR_RAMPS[variable], (value - low) / (high - low));
  if (mapColor === "anomaly") color = cssColor(flagged ? "--bad" : "--ok");
  const description = [
    formatWithUnit("temperature", row.newest?.temperature),
    `wind ${formatWithUnit("wind_speed", row.newest?.wind_speed)} ${compassPoint(row.newest?.wind_direction)}`,
    formatWithUnit("pressure", row.newest?.pressure),
    flagged ? `anomaly: ${row.reasons.join("; ")}` : "no anomaly",
    ...alertsOf(row).map((alert) => `weather alert: ${alertText(alert)}`),
  ];
  return {
    color,
    angle: mapColor === "wind_speed" ? (row.newest?.wind_direction ?? null) : null,
    text: formatValue(variable, value),
    description: description.join(", "),
    flagged,
    warned: alertsOf(row).length > 0,
  };
}

const alertsOf = (row) => weatherAlerts.get(row.station.station_id) ?? [];

const alertText = ({ rule_name: name, details }) =>
  details.kind === "forecast" ? `${name}, ${formatCondition(details)}, probability ${formatProbability(details.probability)}` : name;

function renderMapLegend(variable, [low, high]) {
  const gradient = `background: linear-gradient(90deg, ${COLOR_RAMPS[variable].join(", ")})`;
  const warned = weatherAlerts.size ? [h("span", { class: "doubt", "aria-hidden": "true" }, "▲"), h("span", {}, "weather alert")] : [];
  mapLegend.replaceChildren(
    ...warned,
    ...(mapColor === "anomaly"
      ? [h("span", { class: "dot failing" }), "anomaly", h("span", { class: "dot ok" }), "no anomaly"]
      : [
          formatValue(variable, low),
          h("span", { class: "ramp", style: gradient }),
          `${formatWithUnit(variable, high)}${variable === "pressure" ? " at sea level" : ""}`,
        ]),
  );
}

function sparkline(series) {
  const points = series
    ? series.times.map((time, index) => [Date.parse(time), series.values[index]]).filter(([, value]) => value !== null)
    : [];
  if (points.length < 2) return h("span", { class: "muted" }, "–");
  const [width, height, margin] = [132, 30, 3];
  const [start, end] = [points[0][0], points.at(-1)[0]];
  const [low, high] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
  const x = (time) => margin + ((time - start) / (end - start || 1)) * (width - 2 * margin);
  const y = (value) => height - margin - ((value - low) / Math.max(high - low, 1)) * (height - 2 * margin);
  const path = points
    .map(([time, value], index) => `${index ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`)
    .join("");
  return h(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `last 24 hours: ${formatWithUnit("temperature", low)} to ${formatWithUnit("temperature", high)}`,
    },
    h("path", { d: path }),
    h("circle", { cx: x(end), cy: y(points.at(-1)[1]), r: 2.5 }),
  );
}

const windArrow = (degrees) =>
  degrees === null || degrees === undefined
    ? null
    : h(
        "svg",
        { class: "arrow", viewBox: "0 0 16 16", "aria-hidden": "true" },
        h("path", { d: "M8 15 L3.5 6 L8 8 L12.5 6 Z", transform: `rotate(${degrees} 8 8)` }),
      );

function renderTableHead() {
  const columns = [
    ["Station", ""],
    [`Now, ${displayUnit("temperature").unit}`, "num"],
    ["Last 24 h", "wide-only"],
    ["Next 24 h", ""],
    ["Wind", ""],
    ["Humidity", "num wide-only"],
    ["Pressure", "num"],
    ["Observed", ""],
  ];
  byId("columns").replaceChildren(
    h("tr", {}, ...columns.map(([label, className]) => h("th", { scope: "col", class: className || null }, label))),
  );
}

function stationRow({ row, series, areMixed, alerts }) {
  const { station, newest, ahead } = row;
  const temperatures = ahead
    ? h(
        "span",
        { class: "span" },
        h("b", {}, formatValue("temperature", ahead.temperature.least)),
        " to ",
        h("b", {}, formatValue("temperature", ahead.temperature.greatest)),
        ` ${displayUnit("temperature").unit}`,
      )
    : "–";
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      h("a", { href: stationUrl(station.station_id) }, station.name),
      row.is_anomaly ? h("span", { class: "tag bad", title: row.reasons.join("; ") }, "anomaly") : null,
      ...alerts.map((alert) => h("span", { class: "tag warn", title: alertText(alert) }, alert.rule_name)),
    ),
    h("td", { class: "num big" }, formatValue("temperature", newest?.temperature)),
    h("td", { class: "wide-only" }, sparkline(series)),
    h("td", {}, temperatures, ahead && ahead.method !== "model" ? h("small", {}, " fallback") : null),
    h(
      "td",
      {},
      windArrow(newest?.wind_direction),
      formatWithUnit("wind_speed", newest?.wind_speed),
      " ",
      h("small", {}, compassPoint(newest?.wind_direction)),
      ahead ? h("small", {}, `, up to ${formatValue("wind_speed", ahead.wind_speed.greatest)}`) : null,
    ),
    h("td", { class: "num wide-only" }, formatWithUnit("humidity", newest?.humidity)),
    h("td", { class: "num" }, formatWithUnit("pressure", newest?.pressure)),
    h(
      "td",
      {},
      newest ? `${formatTime(newest.timestamp, station.timezone)} ` : "–",
      newest ? h("small", {}, displayZoneName(station.timezone)) : null,
      areMixed ? h("small", { "data-source": row.source }, `, ${sourceLabel(row.source).toLowerCase()}`) : null,
    ),
  );
}

function stationsTile() {
  const reporting = stations.filter((row) => row.arrived_seconds !== null && row.arrived_seconds < REPORTING_SECONDS);
  const newest = stations
    .map((row) => row.newest?.timestamp)
    .filter(Boolean)
    .sort()
    .at(-1);
  const fallbacks = stations.filter((row) => row.ahead && row.ahead.method !== "model").length;
  const note = newest ? `newest observation ${formatTime(newest)} UTC` : "no observations yet";
  return {
    key: "stations",
    label: "Stations reporting",
    figure: `${reporting.length}`,
    suffix: ` of ${stations.length}`,
    note: fallbacks ? `${note}; ${fallbacks} with a fallback forecast` : note,
    className: reporting.length < stations.length ? "doubt" : "",
  };
}

function anomaliesTile(anomalies) {
  const flagged = stations.filter((row) => row.is_anomaly).length;
  return {
    key: "anomalies",
    label: "Stations with an anomaly now",
    figure: `${flagged}`,
    note: `${anomalies.total} anomaly events in 7 days, ${anomalies.open} without a verdict`,
    className: flagged ? "worse" : "",
  };
}

function modelTile(verification) {
  const version = stations.find((row) => row.ahead?.method === "model")?.ahead.model_version;
  const score = verification.scores.find(
    (candidate) => !candidate.hindcast && candidate.variable === "temperature" && candidate.version === version,
  );
  if (!score)
    return {
      key: "model",
      label: "Model",
      figure: version === undefined ? "–" : `version ${version}`,
      note: version === undefined ? "no model forecast yet" : "not verified yet",
    };
  return { key: "model", label: "Temperature forecast, last 7 days", ...scoreTile("temperature", score) };
}

function windTile() {
  const windiest = stations
    .filter((row) => row.ahead)
    .sort((a, b) => b.ahead.wind_speed.greatest - a.ahead.wind_speed.greatest)[0];
  return {
    key: "wind",
    label: "Strongest wind forecast",
    figure: windiest ? formatWithUnit("wind_speed", windiest.ahead.wind_speed.greatest) : "–",
    note: windiest ? `${windiest.station.name}, within 24 hours` : "no forecast yet",
  };
}

function renderSummary(anomalies, verification) {
  renderList(
    byId("summary"),
    [stationsTile(), anomaliesTile(anomalies), modelTile(verification), windTile()],
    (tile) => tile.key,
    ({ label, figure, suffix, note, className }) =>
      summaryTile(label, [figure, suffix ? h("small", {}, suffix) : ""], note, className),
  );
}

const unitPreferences = () => ["temp", "wind", "time"].map(getPreference);

async function refresh() {
  const [response, recent, anomalies, verification, open] = await Promise.all([
    get("/stations"),
    get("/observations", { variable: "temperature", hours: 24 }),
    get("/anomalies/events", { limit: 6 }),
    get("/verification", { days: 7, by: "all" }),
    getAll("/weather-alerts", "alerts", { open: true }),
  ]);
  stations = response.stations;
  weatherAlerts = byStation(open);
  const units = unitPreferences();
  const sources = new Set(stations.map((row) => row.source));
  const seriesById = new Map(recent.stations.map((series) => [series.station_id, series]));
  const stationsById = new Map(stations.map((row) => [row.station.station_id, row.station]));
  showSources([...sources]);
  renderSummary(anomalies, verification);
  updateMap();
  renderTableHead();
  setText(byId("count"), stations.length ? `${stations.length} stations` : "");
  if (stations.length) {
    renderList(
      byId("stations"),
      stations.map((row) => ({
        row: { ...row, age_seconds: null, arrived_seconds: null },
        series: seriesById.get(row.station.station_id),
        areMixed: sources.size > 1,
        alerts: alertsOf(row).map((alert) => ({ ...alert, seen_at: null })),
        units,
      })),
      (item) => item.row.station.station_id,
      stationRow,
    );
  } else {
    const text = "No observations yet. The first ones arrive within minutes after the pipeline starts.";
    byId("stations").replaceChildren(h("tr", {}, h("td", { colspan: 8, class: "empty" }, text)));
  }
  const list = byId("anomalies");
  if (anomalies.events.length)
    renderList(
      list,
      anomalies.events.map((event) => ({ event, units })),
      ({ event }) => event.id,
      ({ event }, isNew) =>
        anomalyItem(event, stationsById.get(event.station_id), { withVerdict: false, isNew: isNew && rendered }),
    );
  else list.replaceChildren(h("li", { class: "empty" }, "No anomalies in 7 days."));
  rendered = true;
}

startPage(refresh);
addEventListener("weatherglass:preferences", () => stations.length && updateMap());
