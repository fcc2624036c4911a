// The page Benchmarks: two runs of a scenario side by side, and all its results.
import { get } from "./api.js";
import { axis, layout, palette, plot, saveCsv } from "./charts.js";
import { byId, h, renderButtonGroup, renderList, setText } from "./dom.js";
import { getUrlParam, setUrlParams } from "./preferences.js";
import { startPage } from "./shell.js";

const SCENARIOS = { baseline: "Baseline", stations: "Stations", rates: "Rates", workers: "Workers" };
/** What a scenario varies: the field of a result, and the title of the axis. */
const VARIED = {
  baseline: ["rate", "Observations per second"],
  stations: ["stations", "Stations"],
  rates: ["rate", "Observations per second"],
  workers: ["workers", "Workers"],
};
/** The compared figures: label, value, digits. */
const FIGURES = [
  ["Predictions/s", (figures) => figures.predictions_per_second, 1],
  ["Latency p50, ms", (figures) => figures.latency_ms?.p50, 0],
  ["Latency p95, ms", (figures) => figures.latency_ms?.p95, 0],
  ["Latency p99, ms", (figures) => figures.latency_ms?.p99, 0],
  ["CPU, cores", (figures) => figures.cores?.total, 2],
  ["Memory, MB", (figures) => figures.memory_mb?.total, 0],
];
const CHOICES = ["first", "second"];
const CHART_MARGIN = { l: 52, r: 18, t: 34, b: 44 };
const NO_RESULTS = "No results yet. Trigger the DAG benchmark_pipeline, or run make bench.";

let scenario = getUrlParam("scenario", "baseline");
if (!Object.hasOwn(SCENARIOS, scenario)) scenario = "baseline";
let shown = [];
const form = byId("choice");

for (const name of CHOICES) {
  const value = getUrlParam(name);
  if (value) form.elements[name].append(h("option", { value, selected: true }, value));
}
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  setUrlParams(Object.fromEntries(CHOICES.map((name) => [name, form.elements[name].value || null])));
  refreshSoon();
});
renderButtonGroup(byId("scenario"), Object.entries(SCENARIOS), scenario, (value) => {
  scenario = value;
  for (const name of CHOICES) form.elements[name].value = ""; // the runs of another scenario are other ones
  setUrlParams({ scenario: value === "baseline" ? null : value, first: null, second: null });
  refreshSoon();
});
byId("csv").addEventListener("click", () => {
  const rows = shown.map(({ figures, environment, ...about }) => ({
    ...about,
    predictions_per_second: figures.predictions_per_second,
    p50_ms: figures.latency_ms?.p50,
    p95_ms: figures.latency_ms?.p95,
    p99_ms: figures.latency_ms?.p99,
    cores: figures.cores?.total,
    memory_mb: figures.memory_mb?.total,
    cpu: environment.cpu,
  }));
  saveCsv(`benchmarks-${scenario}`, Object.keys(rows[0] ?? { run: 1 }), rows);
});

async function refresh() {
  const { results } = await get("/benchmarks", { limit: 500 });
  shown = results.filter((result) => result.scenario === scenario);
  showRuns();
  renderByRun("latency", ["p95", "p50"].map((name) => [name, (figures) => figures.latency_ms?.[name]]), "ms");
  renderByRun("throughput", [["", (figures) => figures.predictions_per_second]], "Per second");
  renderCpu();
  renderComparison();
  renderResults();
}

const allRuns = () => [...new Set(shown.map((result) => result.run))];

function showRuns() {
  for (const name of CHOICES) {
    const select = form.elements[name];
    const selected = select.value;
    const runs = [...new Set(["", ...allRuns(), selected])];
    if (runs.join() === [...select.options].map((option) => option.value).join()) continue; // an open list stays open
    const [automatic] = select.options;
    select.replaceChildren(automatic, ...runs.filter(Boolean).map((run) => h("option", { value: run }, run)));
    select.value = selected;
  }
}

/** The chosen runs; by default the newest as the second, so that its change against the one before is shown. */
function chosenRuns() {
  const runs = allRuns();
  const chosen = Object.fromEntries(CHOICES.map((name) => [name, form.elements[name].value]));
  const second = chosen.second || runs.find((run) => run !== chosen.first);
  const first = chosen.first || runs.find((run) => run !== second);
  return [...new Set([first, second])].filter((run) => runs.includes(run));
}

/** The number that the scenario varies. */
const variedOf = (result) => result[VARIED[scenario][0]];
const byVaried = (a, b) => variedOf(a) - variedOf(b);

/** The results of a run, in order of the number that the scenario varies. */
function loadsOf(run) {
  return shown.filter((result) => result.run === run).sort(byVaried);
}

function chartLayout(unit, options = {}) {
  return layout({
    height: 300,
    margin: CHART_MARGIN,
    hovermode: "closest",
    xaxis: axis({
      type: "category",
      categoryorder: "array", // otherwise a load that only the second run has is the last one
      categoryarray: [...new Set(chosenRuns().flatMap(loadsOf).sort(byVaried).map((result) => String(variedOf(result))))],
      title: { text: VARIED[scenario][1], font: { size: 12 } },
    }),
    yaxis: axis({ rangemode: "tozero", title: { text: unit, font: { size: 12 } } }),
    ...options,
  });
}

/** A chart with a line for each run and value; values: [[label, (figures) => number], ...]. */
function renderByRun(id, values, unit) {
  const { series1, series2 } = palette();
  const traces = chosenRuns().flatMap((run, index) =>
    values.map(([label, valueOf], number) => ({
      type: "scatter",
      mode: "lines+markers",
      name: [run, label].filter(Boolean).join(" "),
      x: loadsOf(run).map((result) => String(variedOf(result))),
      y: loadsOf(run).map((result) => valueOf(result.figures) ?? null),
      line: { color: [series1, series2][index], dash: number ? "dot" : "solid" },
    })),
  );
  plot(byId(id), traces, chartLayout(unit), `benchmarks-${id}`, NO_RESULTS);
}

/** Bars of both runs next to each other for each load, divided into components. */
function renderCpu() {
  const loads = chosenRuns().flatMap(loadsOf).sort(byVaried);
  const names = [...new Set(loads.flatMap((result) => Object.keys(result.figures.cores ?? {})))];
  const x = [
    loads.map((result) => String(variedOf(result))),
    loads.map((result) => (result.run === chosenRuns()[0] ? "first" : "second")),
  ];
  const traces = names
    .filter((name) => name !== "total")
    .map((name) => ({
      type: "bar",
      name: name.replaceAll("_", " "),
      x,
      y: loads.map((result) => result.figures.cores?.[name] ?? 0),
    }));
  const xaxis = axis({ type: "multicategory", title: { text: VARIED[scenario][1], font: { size: 12 } } });
  plot(byId("cpu"), traces, chartLayout("Cores", { barmode: "stack", xaxis }), "benchmarks-cpu", NO_RESULTS);
}

/** A row for each load and figure, with the values of both runs; a load of one run has no second value. */
function renderComparison() {
  const runs = chosenRuns();
  const describe = ({ cpu, cores, weatherglass: version }) =>
    `${cpu}, ${cores} cores${version ? `, Weatherglass ${version}` : ""}`;
  const notes = runs.map((run, index) => `${["First", "Second"][index]}: ${describe(loadsOf(run)[0].environment)}`);
  setText(byId("machines"), notes.join(". "));
  const nameOf = ({ stations, rate, workers }) => `${stations} stations, ${rate}/s, workers: ${workers}`;
  const names = [...new Set(runs.flatMap(loadsOf).map(nameOf))];
  const rows = names.flatMap((name) => {
    const [first, second] = [0, 1].map((index) => runs[index] && loadsOf(runs[index]).find((result) => nameOf(result) === name));
    return FIGURES.map(([label, valueOf, digits]) => ({
      cells: [name, label],
      values: [first, second].map((result) => result && valueOf(result.figures)),
      digits,
    }));
  });
  if (!rows.length) {
    byId("comparison").replaceChildren(h("tr", {}, h("td", { colspan: 5, class: "empty" }, NO_RESULTS)));
    return;
  }
  renderList(byId("comparison"), rows, (row) => JSON.stringify(row), comparisonRow);
}

function comparisonRow({ cells, values, digits }) {
  const [first, second] = values;
  const change = first && second !== undefined && second !== null ? `${((second / first - 1) * 100).toFixed(1)}\u00a0%` : "–";
  const texts = [...values.map((value) => value?.toFixed(digits) ?? "–"), change];
  return h(
    "tr",
    {},
    ...cells.map((text) => h("th", { scope: "row" }, text)),
    ...texts.map((text) => h("td", { class: "num" }, text)),
  );
}

function renderResults() {
  if (!shown.length) {
    byId("results").replaceChildren(h("tr", {}, h("td", { colspan: 11, class: "empty" }, NO_RESULTS)));
    return;
  }
  renderList(
    byId("results"),
    shown,
    (result) => [result.run, result.stations, result.rate, result.workers].join(" "),
    ({ run, stations, rate, workers, figures, environment }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, run),
        ...[
          stations,
          rate,
          workers,
          figures.predictions_per_second,
          figures.latency_ms?.p50,
          figures.latency_ms?.p95,
          figures.latency_ms?.p99,
          figures.cores?.total,
          figures.memory_mb?.total,
          `${environment.cpu}, ${environment.cores} cores`,
        ].map((value) => h("td", {}, String(value ?? "–"))),
      ),
  );
}

const refreshSoon = startPage(refresh);
