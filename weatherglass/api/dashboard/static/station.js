// The page Station: latest observation, chart of observations and forecast, forecast table, and anomalies.
import { anomalyItem } from "./anomaly_item.js";
import { get } from "./api.js";
import { saveCsv, savePng } from "./charts.js";
import { byId, h, renderButtonGroup, renderList, setText, summaryTile } from "./dom.js";
import { getPreference, getUrlParam, setUrlParams } from "./preferences.js";
import { showSources, sourceLabel, startPage, stationUrl } from "./shell.js";
import { renderStationChart } from "./station_chart.js";
import { getRawGuidance, provenance } from "./station_guidance.js";
import {
  compassPoint,
  displayUnit,
  displayZoneName,
  formatDateTime,
  formatTime,
  formatValue,
  formatWithUnit,
  VARIABLE_LABELS,
  VARIABLES,
} from "./units.js";
import { weatherAlertItem } from "./weather_alert_item.js";

const RANGES = [
  [24, "24 h"],
  [72, "3 days"],
  [168, "7 days"],
  [720, "30 days"],
];
const DEFAULT_HOURS = 72;
const HOUR_MS = 3600e3;

let stationId = getUrlParam("id");
let hours = Number(getUrlParam("hours", DEFAULT_HOURS));
let until = getUrlParam("until");
let showEarlierForecast = getUrlParam("past") !== "no";
let observations = [];
let leads = [];
let rendered = false;

renderButtonGroup(byId("range"), RANGES, hours, (value) => {
  hours = value;
  setUrlParams({ hours: value === DEFAULT_HOURS ? null : value });
  refreshSoon();
});
byId("earlier-forecast").checked = showEarlierForecast;
byId("earlier-forecast").addEventListener("change", () => {
  showEarlierForecast = byId("earlier-forecast").checked;
  setUrlParams({ past: showEarlierForecast ? null : "no" });
  refreshSoon();
});
byId("until").value = until ? until.slice(0, 16) : "";
byId("until").addEventListener("change", () => {
  until = byId("until").value ? `${byId("until").value}:00Z` : null;
  setUrlParams({ until });
  refreshSoon();
});
byId("station-select").addEventListener("change", () => location.assign(stationUrl(byId("station-select").value)));
byId("png").addEventListener("click", () => savePng(byId("chart"), `${stationId} observations and forecast`));
byId("csv").addEventListener("click", saveData);

/** Save observations and forecast as CSV; the column `what` is `observed` or `forecast`. */
function saveData() {
  const columns = [
    "station_id",
    "what",
    "time",
    ...VARIABLES.flatMap((name) => [name, `${name}_lower`, `${name}_upper`]),
    "wind_direction",
  ];
  const observed = observations.map((observation) => ({
    station_id: stationId,
    what: "observed",
    time: observation.timestamp,
    ...observation,
  }));
  const forecast = leads.map((lead) => ({
    station_id: stationId,
    what: "forecast",
    time: lead.valid_time,
    ...Object.fromEntries(
      VARIABLES.flatMap((name) => [
        [name, lead[name].value],
        [`${name}_lower`, lead[name].lower],
        [`${name}_upper`, lead[name].upper],
      ]),
    ),
  }));
  saveCsv(`${stationId} observations and forecast`, columns, [...observed, ...forecast]);
}

const nullIfNotFound = (promise) =>
  promise.catch((error) => {
    if (error.isNotFound) return null;
    throw error;
  });

async function refresh() {
  const { stations } = await get("/stations");
  stationId ??= stations[0]?.station.station_id ?? null;
  renderStationSelect(stations);
  if (stationId === null) {
    setText(byId("location"), "No observations yet.");
    return;
  }
  const path = encodeURIComponent(stationId);
  const prediction = await nullIfNotFound(get(`/predictions/${path}`));
  const row = stations.find(({ station }) => station.station_id === stationId);
  if (!row && !prediction) {
    setText(byId("name"), stationId);
    setText(byId("location"), "The station is unknown or has no observations yet.");
    return;
  }
  const station = row?.station ?? prediction.station;
  const newest = row?.newest?.timestamp ?? prediction.timestamp;
  const end = until ? Date.parse(until) : Date.parse(newest) + 1000;
  const from = new Date(end - hours * HOUR_MS).toISOString();
  const to = new Date(end).toISOString();
  const [history, flagged, anomalies, weatherAlerts, earlierForecast] = await Promise.all([
    nullIfNotFound(get(`/observations/${path}`, { from, to })),
    get("/anomalies", { station_id: stationId, since: from, until: to, limit: 200 }),
    get("/anomalies/events", { station_id: stationId, since: from, until: to, limit: 200 }),
    get("/weather-alerts", { station_id: stationId, open: true, limit: 50 }),
    showEarlierForecast ? getForecastOfDayBefore(path, until ? end : Date.parse(newest)) : [],
  ]);
  observations = history?.observations ?? [];
  leads = until ? [] : (prediction?.leads ?? []);
  const newestSource = row?.source ?? prediction?.source;
  showSources([newestSource, ...observations.map((observation) => observation.source)]);
  const rawGuidance = await Promise.all([leads, earlierForecast].map((forecast) => getRawGuidance(path, forecast)));
  renderHeader(station, row, prediction);
  renderWeatherAlerts(station, weatherAlerts.alerts);
  renderSources(station, newestSource, history?.model_output ?? []);
  renderStationChart(byId("chart"), byId("legend"), {
    station,
    observations,
    leads,
    earlierForecast,
    rawGuidance: rawGuidance.flat(),
    flaggedTimes: new Set(flagged.anomalies.map((anomaly) => anomaly.timestamp)),
    intervalLevel: prediction?.interval_level ?? 0.9,
    viewKey: `${stationId} ${hours} ${until}`,
  });
  renderProvenance(station, prediction);
  renderForecastTable(station, prediction);
  renderAnomalies(station, anomalies);
  rendered = true;
}

/** The leads of the first forecast issued 24 hours before a time; its valid times have passed by then. */
async function getForecastOfDayBefore(path, time) {
  const response = await nullIfNotFound(
    get(`/predictions/${path}/history`, {
      from: new Date(time - 25 * HOUR_MS).toISOString(),
      to: new Date(time - 23.9 * HOUR_MS).toISOString(),
      limit: 8,
    }),
  );
  const issueTime = response?.forecasts[0]?.timestamp;
  return issueTime ? response.forecasts.filter((forecast) => forecast.timestamp === issueTime) : [];
}

function renderStationSelect(stations) {
  const select = byId("station-select");
  const content = JSON.stringify(stations.map(({ station }) => station.station_id));
  if (select.content === content) return;
  select.content = content;
  select.replaceChildren(
    ...stations.map(({ station }) =>
      h("option", { value: station.station_id, selected: station.station_id === stationId }, station.name),
    ),
  );
}

function formatLocation({ latitude, longitude, elevation }) {
  if (latitude === null) return "unknown location";
  const northSouth = `${Math.abs(latitude).toFixed(2)}° ${latitude < 0 ? "S" : "N"}`;
  const eastWest = `${Math.abs(longitude).toFixed(2)}° ${longitude < 0 ? "W" : "E"}`;
  return [northSouth, eastWest, elevation === null ? null : `${Math.round(elevation)} m`].filter(Boolean).join(", ");
}

function renderHeader(station, row, prediction) {
  document.title = `${station.name} · Weatherglass`;
  setText(byId("name"), station.name);
  const details = [station.country, formatLocation(station), `times in ${displayZoneName(station.timezone)}`];
  setText(byId("location"), details.filter(Boolean).join(" · "));
  const newest = row?.newest;
  const forecastRange = (name) => {
    if (!prediction?.leads.length) return "no forecast yet";
    const values = prediction.leads.map((lead) => lead[name].value);
    return `${formatValue(name, Math.min(...values))} to ${formatValue(name, Math.max(...values))} in the next 24 h`;
  };
  const direction = newest?.wind_direction ?? null;
  const tiles = [
    ...VARIABLES.map((name) => [VARIABLE_LABELS[name], formatWithUnit(name, newest?.[name]), forecastRange(name)]),
    [
      "Wind direction",
      direction === null ? "–" : `${compassPoint(direction)} ${Math.round(direction)}°`,
      newest ? `observed ${formatDateTime(newest.timestamp, station.timezone)}` : "",
    ],
    anomalyTile(row, prediction),
  ];
  renderList(
    byId("now"),
    tiles,
    ([label]) => label,
    ([label, figure, note, className]) => summaryTile(label, figure, note, className),
  );
}

function renderWeatherAlerts(station, alerts) {
  byId("weather-alerts-card").hidden = !alerts.length;
  renderList(
    byId("weather-alerts"),
    alerts.map((alert) => ({ alert: { ...alert, seen_at: null }, times: getPreference("time") })),
    ({ alert }) => alert.id,
    ({ alert }) => weatherAlertItem(alert, station),
  );
}

/** Show which source observes the station, its changes in the range, and the newest values of the model. */
function renderSources(station, source, modelOutput) {
  const airport = source === "metar" && station.metar_id ? ` by ${station.metar_id}` : "";
  const latest = modelOutput.at(-1);
  const model = latest
    ? ` Open-Meteo's model for ${formatTime(latest.timestamp, station.timezone)}: ${VARIABLES.map((name) => formatWithUnit(name, latest[name])).join(", ")}.`
    : "";
  setText(byId("sources"), source ? `Source: ${sourceLabel(source).toLowerCase()}${airport}.${model}` : "");
  const known = observations.filter((observation) => observation.source);
  const changes = known
    .map((observation, index) => [known[index - 1]?.source ?? observation.source, observation])
    .filter(([before, observation]) => before !== observation.source)
    .map(
      ([before, { source: after, timestamp }]) =>
        `from ${sourceLabel(before).toLowerCase()} to ${sourceLabel(after).toLowerCase()} at ${formatDateTime(timestamp, station.timezone)}`,
    );
  const notice = byId("source-changes");
  notice.hidden = changes.length === 0;
  notice.dataset.count = changes.length;
  setText(notice, changes.length ? `The source of the observations changed ${changes.slice(-3).join(", ")}.` : "");
}

function anomalyTile(row, prediction) {
  if (!prediction) return ["Anomaly checks", "–", "not checked yet"];
  const checks = Object.values(prediction.anomaly.checks);
  const skipped = checks.filter((state) => state === "not_checked").length;
  const note = `score ${prediction.anomaly.score.toFixed(2)}; ${skipped} of ${checks.length} checks skipped`;
  return row?.is_anomaly ? ["Anomaly checks", "failed", note, "worse"] : ["Anomaly checks", "passed", note];
}

function renderProvenance(station, prediction) {
  const element = byId("provenance");
  element.dataset.method = prediction?.method ?? "";
  setText(element, prediction ? provenance(prediction, station.timezone) : "");
}

function renderForecastTable(station, prediction) {
  setText(
    byId("issue"),
    prediction
      ? `based on the observation of ${formatTime(prediction.timestamp, station.timezone)}, ${prediction.history_hours} h of station history`
      : "",
  );
  byId("hours-head").replaceChildren(
    h(
      "tr",
      {},
      h("th", { scope: "col" }, displayZoneName(station.timezone)),
      ...VARIABLES.map((name) =>
        h("th", { scope: "col", class: "num" }, `${VARIABLE_LABELS[name]}, ${displayUnit(name).unit}`),
      ),
    ),
  );
  if (!prediction) {
    byId("hours").replaceChildren(h("tr", {}, h("td", { colspan: 5, class: "empty" }, "No forecast yet. It follows the first observation.")));
    return;
  }
  const units = ["temp", "wind", "time"].map(getPreference);
  const interval = ({ lower, upper }, name) => ` ${formatValue(name, lower)}\u2009…\u2009${formatValue(name, upper)}`;
  renderList(
    byId("hours"),
    prediction.leads.map((lead) => ({ lead, units })),
    ({ lead }) => lead.valid_time,
    ({ lead }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, formatDateTime(lead.valid_time, station.timezone)),
        ...VARIABLES.map((name) =>
          h(
            "td",
            { class: "num" },
            h("b", {}, formatValue(name, lead[name].value)),
            h("small", { class: "muted" }, interval(lead[name], name)),
          ),
        ),
      ),
  );
}

function renderAnomalies(station, { events, since }) {
  const list = byId("anomalies");
  if (events.length)
    renderList(
      list,
      events.map((event) => ({ event, times: getPreference("time") })),
      ({ event }) => event.id,
      ({ event }, isNew) =>
        anomalyItem(event, station, { since, withStation: false, isNew: isNew && rendered, onVerdict: refreshSoon }),
    );
  else list.replaceChildren(h("li", { class: "empty" }, "No anomalies in this period."));
}

const refreshSoon = startPage(refresh);
