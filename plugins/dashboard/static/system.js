// The system: is every part alive, how fast is it, what waits, what does it cost, and what is wrong.
import { get, post } from "./api.js";
import { axis, layout, palette, plot, saveCsv } from "./charts.js";
import { by, choice, h, keyed } from "./dom.js";
import { health } from "./live.js";
import { view, viewed } from "./preferences.js";
import { start, toast } from "./shell.js";
import { age, bytes, dayTime, wall } from "./units.js";

const NAMES = { stream_features: "Features (Spark)", serve_predictions: "Inference (Ray)", store_predictions: "Sink", kafka: "Kafka", ray: "Ray", job_host: "Job host", store: "Store", observations: "Observations", predictions: "Predictions", model: "Model" };
const STRETCH = 300; // seconds of CPU time are counted over five minutes
let hours = Number(viewed("hours", 1));
let shown = [];

choice(by("hours"), [[1, "1 h"], [6, "6 h"], [24, "24 h"], [72, "3 days"]], hours, (value) => {
  hours = value;
  view({ hours: value === 1 ? null : value });
  soon();
});
by("csv").addEventListener("click", () => saveCsv("flow", ["start", "observations", "predictions", "latency_p50", "latency_p95"], shown));

async function draw() {
  const since = new Date(Math.floor(Date.now() / 300e3) * 300e3 - hours * 3600e3).toISOString().replace(/\.\d+/, "");
  const [state, system, alerts, measured] = await Promise.all([health(), get("/system", { hours }), get("/alerts", { limit: 50 }), get("/metrics/history", { from: since })]);
  shown = system.flow;
  keyed(by("parts"), state.parts.map((part) => ({ ...part, age_seconds: null })), (part) => part.name, (part) =>
    h("div", {}, h("span", { class: `dot ${part.state}`, role: "img", "aria-label": part.state }), h("div", {}, h("b", {}, NAMES[part.name] ?? part.name), part.state === "ok" ? null : h("span", { class: `tag ${part.state === "failing" ? "bad" : "warn"}`, style: "margin-left: 8px" }, part.state), h("p", {}, part.detail))));
  flow(system);
  resources(measured.series);
  jobs(system.jobs);
  keyed(by("usage"), system.usage, (row) => row.part, (row) => h("tr", {}, h("th", { scope: "row" }, row.part),
    ...[row.processes, `${row.memory_mb.toFixed(0)} MB`, row.cpu_cores === null ? "…" : `${row.cpu_cores.toFixed(2)} cores`, bytes(row.read_bytes), bytes(row.written_bytes)].map((text) => h("td", { class: "num" }, text))));
  if (!system.usage.length) by("usage").replaceChildren(h("tr", {}, h("td", { colspan: 6, class: "nothing" }, "No process of this pipeline can be seen from here.")));
  if (alerts.alerts.length) keyed(by("alerts"), alerts.alerts, (alert) => alert.id, alertItem);
  else by("alerts").replaceChildren(h("li", { class: "nothing" }, "No alert has been raised."));
}

function alertItem(alert) {
  const open = alert.resolved_at === null;
  return h("li", {},
    h("div", { class: "row" }, h("strong", {}, `${alert.rule.replaceAll("_", " ")}: ${alert.subject}`), h("span", { class: open ? (alert.severity === "critical" ? "tag bad" : "tag warn") : "tag" }, open ? alert.severity : "resolved")),
    h("p", { class: "why" }, alert.words),
    h("p", { class: "muted" }, `since ${dayTime(alert.since)} UTC${open ? "" : `, until ${dayTime(alert.resolved_at)} UTC`}${alert.acknowledged_by ? `, looked after by ${alert.acknowledged_by}` : ""}`),
    open && !alert.acknowledged_by ? h("div", { class: "acts" }, h("button", { type: "button", onclick: () => acknowledge(alert.id) }, "I look after it")) : null);
}

async function acknowledge(id) {
  try {
    await post(`/alerts/${id}/acknowledge`, {});
    soon();
  } catch (error) {
    toast("Not stored", error.message, null, true);
  }
}

const hover = { hoverformat: "%a %-d %b, %H:%M:%S", type: "date" };

function flow(system) {
  const { one, two, soft } = palette();
  const times = system.flow.map((step) => wall(step.start));
  const minutes = system.step_seconds / 60;
  const margin = { l: 52, r: 18, t: 30, b: 30 };
  const line = (name, field, colour) => {
    const rows = system.flow.map((step, index) => [times[index], step[field]]).filter(([, value]) => value !== null);
    return { x: rows.map(([time]) => time), y: rows.map(([, value]) => value), mode: "lines+markers", marker: { size: 5 }, name, line: { color: colour, width: 2 }, hovertemplate: "%{y:.2f} s" };
  };
  plot(by("latency"), [line("half of them within", "latency_p50", one), line("95 % within", "latency_p95", two)], layout({ height: 280, xaxis: axis(hover), yaxis: axis({ rangemode: "tozero", ticksuffix: " s" }), margin, showlegend: true }), "latency", "Nothing was stored in this time.");
  const rate = (name, field, colour) => ({ type: "bar", x: times, y: system.flow.map((step) => step[field] / minutes), name, marker: { color: colour }, hovertemplate: "%{y:.1f} a minute" });
  plot(by("flow"), system.flow.some((step) => step.observations || step.predictions) ? [rate("observations", "observations", one), rate("predictions", "predictions", two)] : [], layout({ height: 280, barmode: "group", bargap: 0.15, xaxis: axis(hover), yaxis: axis({ rangemode: "tozero", title: { text: "a minute", font: { size: 12, color: soft } } }), margin }), "flow", "Nothing was stored in this time.");
}

function resources(series) {
  const { one, two, three, four, quiet, warn, bad, ok } = palette();
  const colours = [one, two, three, four, warn, ok, quiet, bad];
  const margin = { l: 52, r: 18, t: 50, b: 30 };
  const lines = (metric, share, hovertemplate) => series.filter((one) => one.name.includes(metric)).map((one, index) => ({
    x: one.times.map((time) => wall(time)), y: one.values.map((value) => value * share), mode: "lines", name: Object.values(one.labels).join(", "), line: { color: colours[index % colours.length], width: 2 }, hovertemplate }));
  const nothing = "The watcher writes this down every five minutes; nothing yet.";
  plot(by("memory"), lines("part_memory", 1e-6, "%{y:.0f} MB"), layout({ height: 300, xaxis: axis(hover), yaxis: axis({ rangemode: "tozero", ticksuffix: " MB" }), margin }), "memory", nothing);
  plot(by("cpu"), lines("part_cpu", 1 / STRETCH, "%{y:.2f} cores"), layout({ height: 300, xaxis: axis(hover), yaxis: axis({ rangemode: "tozero", ticksuffix: " cores" }), margin }), "cpu", nothing);
}

const lagOf = (figures) => (typeof figures.lag === "object" && figures.lag !== null ? Object.values(figures.lag).reduce((sum, value) => sum + value, 0) : figures.lag);

function jobs(list) {
  const { one, two, three } = palette();
  const colours = { stream_features: one, serve_predictions: two, store_predictions: three };
  const margin = { l: 52, r: 52, t: 30, b: 30 };
  const waiting = list.map((job) => {
    const lines = job.progress.filter((one) => Number.isFinite(lagOf(one.figures)));
    return { x: lines.map((line) => wall(line.at)), y: lines.map((line) => lagOf(line.figures)), mode: "lines+markers", marker: { size: 4 }, line: { color: colours[job.name], width: 2, shape: "hv" }, name: NAMES[job.name], hovertemplate: "%{y}" };
  });
  plot(by("lag"), waiting, layout({ height: 280, xaxis: axis(hover), yaxis: axis({ rangemode: "tozero" }), margin: { ...margin, r: 18 }, showlegend: true }), "lag", "The jobs have not said anything yet.");
  const batches = list.find((job) => job.name === "stream_features")?.progress.filter((line) => Number.isFinite(line.figures.ms)) ?? [];
  const times = batches.map((line) => wall(line.at));
  plot(by("spark"), [
    { type: "bar", x: times, y: batches.map((line) => line.figures.rows), yaxis: "y2", name: "observations", marker: { color: two, opacity: 0.55 }, hovertemplate: "%{y}" },
    { x: times, y: batches.map((line) => line.figures.ms), mode: "lines+markers", marker: { size: 4 }, line: { color: one, width: 2 }, name: "duration", hovertemplate: "%{y:.0f} ms" },
  ], layout({ height: 280, xaxis: axis(hover), yaxis: axis({ rangemode: "tozero", ticksuffix: " ms" }), yaxis2: axis({ overlaying: "y", side: "right", rangemode: "tozero", tickmode: "auto", nticks: 6, showgrid: false }), margin }), "batches", "Spark has not finished a batch yet.");
  keyed(by("jobs"), list.map(({ heartbeat_age, ...job }) => ({ ...job, silent: heartbeat_age > 30 ? Math.round(heartbeat_age) : 0, progress: job.progress.slice(-6) })), (job) => job.name, (job) => h("div", {},
    h("div", { class: "row" }, h("b", {}, NAMES[job.name] ?? job.name), " ", h("span", { class: job.running ? "tag good" : "tag bad" }, job.running ? "runs" : "does not run"), " ",
      h("span", { class: "muted" }, job.started_at ? `since ${dayTime(job.started_at)} UTC` : "", job.silent ? `, silent for ${age(job.silent)}` : "")),
    job.name === "serve_predictions" ? actors(job) : null,
    h("pre", {}, job.progress.map((line) => `${new Date(line.at).toISOString().slice(11, 19)}  ${line.said}`).join("\n") || "nothing yet")));
}

function actors(job) {
  const last = job.progress.findLast((line) => line.figures.pids)?.figures;
  return last ? h("p", { class: "muted" }, `Ray actors: ${last.pids.length} (process ${last.pids.join(", ")}), ${last.rss_mb} MB, ${last.restarts} restarts, model version ${last.model_version}, detector ${last.detector_version ?? "rules alone"}`) : null;
}

const soon = start(draw, { alert: () => soon() });
