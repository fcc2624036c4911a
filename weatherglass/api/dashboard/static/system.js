// The page System: component health, alerts, latency, throughput, consumer lag, resource usage and job logs.
import { refreshAlerts } from "./alerts.js";
import { get } from "./api.js";
import { axis, layout, palette, plot, saveCsv, timeAxis } from "./charts.js";
import { byId, h, renderButtonGroup, renderList, setText } from "./dom.js";
import { getHealth } from "./live_updates.js";
import { getUrlParam, setUrlParams } from "./preferences.js";
import { startPage } from "./shell.js";
import { componentLabel, formatAge, formatBytes, formatDateTime, toPlotTime } from "./units.js";

const RANGES = [
  [1, "1 h"],
  [6, "6 h"],
  [24, "24 h"],
  [168, "7 days"],
];
const METRICS = [
  "part_memory_bytes",
  "part_cpu_seconds_total",
  "consumer_lag_seconds",
  "spark_batch_seconds",
  "network_bytes_total",
  "api_answers_total",
].map((name) => `weatherglass_${name}`);
const STEP_MS = 300e3;
const HOUR_MS = 3600e3;
const LOG_LINES = 6;
const CHART_HEIGHT = 280;
const CHART_MARGIN = { l: 52, r: 18, t: 30, b: 30 };
const NO_METRICS = "No metrics yet. The monitor stores the first ones five minutes after its start.";

let hours = Number(getUrlParam("hours", 1));
let throughput = [];

renderButtonGroup(byId("range"), RANGES, hours, (value) => {
  hours = value;
  setUrlParams({ hours: value === 1 ? null : value });
  refreshSoon();
});
byId("csv").addEventListener("click", () =>
  saveCsv("throughput", ["start", "observations", "predictions", "latency_p50", "latency_p95"], throughput),
);

async function refresh() {
  // Metrics are stored for one week, so the range must not start before the first complete step.
  const since = new Date(Math.ceil(Date.now() / STEP_MS) * STEP_MS - hours * HOUR_MS);
  const from = since.toISOString().replace(/\.\d+/, "");
  const [health, system, metrics] = await Promise.all([
    getHealth(),
    get("/system", { hours }),
    get("/metrics/history", { from, name: METRICS }),
    refreshAlerts(),
  ]);
  throughput = system.flow;
  renderComponents(health.components);
  renderLatency(system);
  renderThroughput(system);
  renderMetrics(metrics);
  if (hours === 1) {
    renderCurrentLag(system.jobs);
    renderCurrentBatches(system.jobs);
  } else {
    renderMetric("lag", metricTraces(metrics, "consumer_lag_seconds", 1, "%{y:.1f} s"), " s");
    renderMetric("spark", metricTraces(metrics, "spark_batch_seconds", 1, "%{y:.2f} s"), " s");
  }
  setText(byId("lag-note"), hours === 1 ? "records" : "age of the oldest unprocessed record");
  renderJobs(system.jobs);
  renderUsage(system.usage);
}

function renderComponents(components) {
  renderList(
    byId("components"),
    components.map((component) => ({ ...component, age_seconds: null })),
    (component) => component.name,
    ({ name, state, detail }) =>
      h(
        "div",
        {},
        h("span", { class: `dot ${state}`, role: "img", "aria-label": state }),
        h(
          "div",
          {},
          h("b", {}, componentLabel(name)),
          state === "ok"
            ? null
            : h("span", { class: `tag ${state === "failing" ? "bad" : "warn"}`, style: "margin-left: 8px" }, state),
          h("p", {}, detail),
        ),
      ),
  );
}

/** A time axis of the whole selected range, so that charts can be compared with each other. */
const fullRangeAxis = (box) =>
  timeAxis(box, {
    range: [toPlotTime(Date.now() - hours * HOUR_MS), toPlotTime(Date.now())],
    hoverformat: "%a %-d %b, %H:%M:%S",
  });
const chartLayout = (options) => layout({ height: CHART_HEIGHT, margin: CHART_MARGIN, uirevision: hours, ...options });

function renderLatency(system) {
  const { series1, series2 } = palette();
  const trace = (name, field, color) => {
    const steps = system.flow.filter((step) => step[field] !== null);
    return {
      x: steps.map((step) => toPlotTime(step.start)),
      y: steps.map((step) => step[field]),
      mode: "lines+markers",
      marker: { size: 5 },
      name,
      line: { color, width: 2 },
      hovertemplate: "%{y:.2f} s",
    };
  };
  plot(
    byId("latency"),
    [trace("median", "latency_p50", series1), trace("95th percentile", "latency_p95", series2)],
    chartLayout({
      xaxis: fullRangeAxis(byId("latency")),
      yaxis: axis({ rangemode: "tozero", ticksuffix: " s" }),
      showlegend: true,
    }),
    "latency",
    "No predictions in this period. The next one follows the next observation.",
  );
}

function renderThroughput(system) {
  const { series1, series2, mutedText } = palette();
  const minutes = system.step_seconds / 60;
  const trace = (field, color) => ({
    type: "bar",
    x: system.flow.map((step) => toPlotTime(step.start)),
    y: system.flow.map((step) => step[field] / minutes),
    name: field,
    marker: { color },
    hovertemplate: "%{y:.1f} per minute",
  });
  const hasRecords = system.flow.some((step) => step.observations || step.predictions);
  plot(
    byId("throughput"),
    hasRecords ? [trace("observations", series1), trace("predictions", series2)] : [],
    chartLayout({
      barmode: "group",
      bargap: 0.15,
      xaxis: fullRangeAxis(byId("throughput")),
      yaxis: axis({ rangemode: "tozero", title: { text: "per minute", font: { size: 12, color: mutedText } } }),
    }),
    "throughput",
    "No records were stored in this period. New ones appear with the next observation.",
  );
}

/** One trace of a metric for each combination of label values; values are multiplied by factor. */
function metricTraces(metrics, metric, factor, hovertemplate) {
  const { series1, series2, series3, series4, neutral, warn, bad, ok } = palette();
  const colors = [series1, series2, series3, series4, warn, ok, neutral];
  return metrics.series
    .filter((series) => series.name === `weatherglass_${metric}`)
    .map((series, index) => ({
      x: series.times.map((time) => toPlotTime(time)),
      y: series.values.map((value) => value * factor),
      mode: series.times.length < 2 ? "markers" : "lines",
      name: Object.values(series.labels).join(", "),
      line: {
        color: series.labels.outcome === "error" ? bad : colors[index % colors.length],
        width: 2,
        dash: index < colors.length ? "solid" : "4px 3px",
      },
      hovertemplate,
    }));
}

function renderMetric(id, traces, unit) {
  plot(
    byId(id),
    traces,
    chartLayout({
      xaxis: fullRangeAxis(byId(id)),
      yaxis: axis({ rangemode: "tozero", ticksuffix: unit }),
      showlegend: true,
    }),
    id,
    NO_METRICS,
  );
}

function renderMetrics(metrics) {
  const step = metrics.stretch_seconds; // counters are increases per step
  renderMetric("memory", metricTraces(metrics, "part_memory_bytes", 1e-6, "%{y:.0f} MB"), " MB");
  renderMetric("cpu", metricTraces(metrics, "part_cpu_seconds_total", 1 / step, "%{y:.2f} cores"), " cores");
  renderMetric("network", metricTraces(metrics, "network_bytes_total", 1e-3 / step, "%{y:.1f} kB/s"), " kB/s");
  renderMetric("requests", metricTraces(metrics, "api_answers_total", 60 / step, "%{y:.1f} per minute"), "");
}

/** The lag in a progress entry, summed over partitions if it is given by partition. */
const totalLag = ({ lag }) =>
  typeof lag === "object" && lag !== null ? Object.values(lag).reduce((sum, value) => sum + value, 0) : lag;

const progressAxis = (box) => timeAxis(box, { hoverformat: "%H:%M:%S" });

/** Consumer lag from the latest progress entries of the jobs. */
function renderCurrentLag(jobs) {
  const { series1, series2, series3 } = palette();
  const colors = { stream_features: series1, serve_predictions: series2, store_predictions: series3 };
  const traces = jobs.map((job) => {
    const entries = job.progress.filter((entry) => Number.isFinite(totalLag(entry.metrics)));
    return {
      x: entries.map((entry) => toPlotTime(entry.at)),
      y: entries.map((entry) => totalLag(entry.metrics)),
      mode: "lines+markers",
      marker: { size: 4 },
      line: { color: colors[job.name], width: 2, shape: "hv" },
      name: componentLabel(job.name),
      hovertemplate: "%{y}",
    };
  });
  plot(
    byId("lag"),
    traces,
    chartLayout({ xaxis: progressAxis(byId("lag")), yaxis: axis({ rangemode: "tozero" }), showlegend: true }),
    "consumer lag",
    "The jobs have not reported their lag yet. They report it with the first batch after their start.",
  );
}

/** Duration and rows of Spark batches from the latest progress entries. */
function renderCurrentBatches(jobs) {
  const { series1, series2 } = palette();
  const spark = jobs.find((job) => job.name === "stream_features");
  const batches = spark?.progress.filter((entry) => Number.isFinite(entry.metrics.ms)) ?? [];
  const times = batches.map((entry) => toPlotTime(entry.at));
  plot(
    byId("spark"),
    [
      {
        type: "bar",
        x: times,
        y: batches.map((entry) => entry.metrics.rows),
        yaxis: "y2",
        name: "observations",
        marker: { color: series2, opacity: 0.55 },
        hovertemplate: "%{y}",
      },
      {
        x: times,
        y: batches.map((entry) => entry.metrics.ms / 1000),
        mode: "lines+markers",
        marker: { size: 4 },
        line: { color: series1, width: 2 },
        name: "duration",
        hovertemplate: "%{y:.2f} s",
      },
    ],
    chartLayout({
      xaxis: progressAxis(byId("spark")),
      yaxis: axis({ rangemode: "tozero", ticksuffix: " s" }),
      yaxis2: axis({
        overlaying: "y",
        side: "right",
        rangemode: "tozero",
        tickmode: "auto",
        nticks: 6,
        showgrid: false,
      }),
      margin: { ...CHART_MARGIN, r: 52 },
    }),
    "spark batches",
    "Spark has not completed a batch yet. The first one follows within a minute after its start.",
  );
}

function renderUsage(usage) {
  if (usage.length) renderList(byId("usage"), usage, (row) => row.part, usageRow);
  else {
    const text = "No processes of this pipeline are visible.";
    byId("usage").replaceChildren(h("tr", {}, h("td", { colspan: 6, class: "empty" }, text)));
  }
}

function usageRow(row) {
  const cells = [
    row.processes,
    `${row.memory_mb.toFixed(0)} MB`,
    row.cpu_cores === null ? "…" : `${row.cpu_cores.toFixed(2)} cores`,
    formatBytes(row.read_bytes),
    formatBytes(row.written_bytes),
  ];
  return h("tr", {}, h("th", { scope: "row" }, row.part), ...cells.map((text) => h("td", { class: "num" }, text)));
}

function renderJobs(jobs) {
  renderList(
    byId("jobs"),
    jobs.map(({ heartbeat_age, ...job }) => ({
      ...job,
      overdueSeconds: heartbeat_age > 30 ? Math.round(heartbeat_age) : 0,
      progress: job.progress.slice(-LOG_LINES),
    })),
    (job) => job.name,
    jobItem,
  );
}

function jobItem(job) {
  const started = job.started_at ? `since ${formatDateTime(job.started_at)} UTC` : "";
  const overdue = job.overdueSeconds ? `, no heartbeat for ${formatAge(job.overdueSeconds)}` : "";
  const log = job.progress.map((entry) => `${new Date(entry.at).toISOString().slice(11, 19)}  ${entry.message}`);
  return h(
    "div",
    {},
    h(
      "div",
      { class: "row" },
      h("b", {}, componentLabel(job.name)),
      " ",
      h("span", { class: job.running ? "tag good" : "tag bad" }, job.running ? "running" : "not running"),
      " ",
      h("span", { class: "muted" }, started + overdue),
    ),
    job.name === "serve_predictions" ? actorSummary(job) : null,
    h("pre", {}, log.join("\n") || "No log entries yet."),
  );
}

function actorSummary(job) {
  const metrics = job.progress.findLast((entry) => entry.metrics.pids)?.metrics;
  if (!metrics) return null;
  const summary = [
    `Ray actors: ${metrics.pids.length} (process ${metrics.pids.join(", ")})`,
    `${metrics.rss_mb} MB`,
    `${metrics.restarts} restarts`,
    `model version ${metrics.model_version}`,
    `detector version ${metrics.detector_version ?? "none (rules only)"}`,
  ];
  return h("p", { class: "muted" }, summary.join(", "));
}

const refreshSoon = startPage(refresh, { alert: () => refreshSoon() });
