// The page Anomalies: a filtered list, and counts by check, day and station.
import { anomalyItem } from "./anomaly_item.js";
import { get, urlFor } from "./api.js";
import { axis, layout, palette, plot } from "./charts.js";
import { byId, h, renderList, saveFile, setText } from "./dom.js";
import { getPreference, getUrlParam, setUrlParams } from "./preferences.js";
import { showSources, startPage } from "./shell.js";
import { checkLabel } from "./units.js";

const PAGE_SIZE = 50;
const MAX_EVENTS = 500;
const FILTERS = ["station", "kind", "verdict", "min_score", "days"];
const form = byId("filters");
let pageCount = 1;
let rendered = false;

/** The query parameters of the API for the current filters. */
function filterQuery() {
  const values = Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value]));
  const since = new Date(Date.now() - Number(values.days) * 86400e3);
  since.setUTCSeconds(0, 0);
  return {
    station_id: values.station,
    kind: values.kind,
    verdict: values.verdict,
    min_score: values.min_score,
    since: since.toISOString(),
  };
}

for (const name of FILTERS) {
  const value = getUrlParam(name);
  if (value === null) continue;
  if (
    form.elements[name].tagName === "SELECT" &&
    ![...form.elements[name].options].some((option) => option.value === value)
  )
    form.elements[name].append(h("option", { value }, value));
  form.elements[name].value = value;
}
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  setUrlParams(
    Object.fromEntries(
      FILTERS.map((name) => [
        name,
        form.elements[name].value === (name === "days" ? "7" : "") ? null : form.elements[name].value,
      ]),
    ),
  );
  pageCount = 1;
  rendered = false;
  refreshSoon();
});
byId("more").addEventListener("click", () => {
  pageCount += 1;
  refreshSoon();
});
byId("csv").addEventListener("click", async () => {
  const url = urlFor("/anomalies", { ...filterQuery(), limit: 500 });
  const response = await fetch(url, { headers: { Accept: "text/csv" } });
  saveFile("anomalies.csv", await response.blob());
});

async function getEvents() {
  const limit = Math.min(MAX_EVENTS, PAGE_SIZE * pageCount);
  const response = await get("/anomalies/events", { ...filterQuery(), limit });
  byId("more").hidden = response.total <= limit || limit === MAX_EVENTS;
  return response;
}

/** Set the options of a <select> and keep its selection. values: [[value, label], ...]. */
function setOptions(select, values) {
  const selected = select.value;
  const content = JSON.stringify(values);
  if (select.content === content) return;
  select.content = content;
  const missing = values.some(([value]) => value === selected) || !selected ? [] : [[selected, selected]];
  select.replaceChildren(
    h("option", { value: "" }, "All"),
    ...[...values, ...missing].map(([value, label]) => h("option", { value }, label)),
  );
  select.value = selected;
}

async function refresh() {
  const { since, station_id } = filterQuery();
  const [found, counts, stations] = await Promise.all([
    getEvents(),
    get("/anomalies/counts", { since, station_id }),
    get("/stations"),
  ]);
  const stationsById = new Map(stations.stations.map((row) => [row.station.station_id, row.station]));
  showSources(stations.stations.map((row) => row.source));
  setOptions(
    form.elements.station,
    stations.stations.map((row) => [row.station.station_id, row.station.name]),
  );
  const kinds = [...new Set(counts.counts.map((count) => count.kind))].sort();
  setOptions(
    form.elements.kind,
    kinds.map((kind) => [kind, checkLabel(kind)]),
  );
  const days = form.elements.days.value;
  setText(
    byId("summary"),
    `${found.total} events (${found.readings} flagged observations) in ${days === "1" ? "1 day" : `${days} days`}, ` +
      `${found.open} without a verdict`,
  );
  renderCharts(counts.counts, kinds, stationsById);
  if (found.events.length)
    renderList(
      byId("list"),
      found.events.map((event) => ({ event, times: getPreference("time") })),
      ({ event }) => event.id,
      ({ event }, isNew) =>
        anomalyItem(event, stationsById.get(event.station_id), {
          since: found.since,
          isNew: isNew && rendered,
          onVerdict: refreshSoon,
        }),
    );
  else byId("list").replaceChildren(h("li", { class: "empty" }, "No anomalies match these filters."));
  rendered = true;
}

function renderCharts(counts, kinds, stationsById) {
  const { series1, series2, series3, series4, bad, neutral } = palette();
  const colors = [series1, series2, series3, series4, bad, neutral];
  const days = [...new Set(counts.map((count) => count.day))].sort();
  const total = (matches) => counts.filter(matches).reduce((sum, count) => sum + count.count, 0);
  plot(
    byId("by-check"),
    kinds.map((kind, index) => ({
      type: "bar",
      name: checkLabel(kind),
      x: days,
      y: days.map((day) => total((count) => count.kind === kind && count.day === day)),
      marker: { color: colors[index % colors.length] },
    })),
    layout({
      barmode: "stack",
      height: 280,
      xaxis: axis({ type: "category" }),
      yaxis: axis({ rangemode: "tozero" }),
      margin: { l: 44, r: 16, t: 30, b: 34 },
      showlegend: true,
    }),
    "anomalies by check",
    "No anomalies in this period.",
  );
  const totals = [...new Set(counts.map((count) => count.station_id))]
    .map((id) => [stationsById.get(id)?.name ?? id, total((count) => count.station_id === id)])
    .sort((a, b) => a[1] - b[1])
    .slice(-12);
  plot(
    byId("by-station"),
    [
      {
        type: "bar",
        orientation: "h",
        y: totals.map(([name]) => name),
        x: totals.map(([, count]) => count),
        marker: { color: series1 },
        hovertemplate: "%{x}<extra></extra>",
      },
    ],
    layout({
      height: 280,
      hovermode: "closest",
      yaxis: axis({ type: "category" }),
      xaxis: axis({ rangemode: "tozero" }),
    }),
    "anomalies by station",
    "No anomalies in this period.",
  );
}

const refreshSoon = startPage(refresh);
