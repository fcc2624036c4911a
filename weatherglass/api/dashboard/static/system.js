// The system: is every part alive, how fast is it, what waits, what does it cost, and what is wrong.
import { showAlerts } from "./alerts.js";
import { get } from "./api.js";
import { axis, layout, palette, plot, saveCsv, timeAxis } from "./charts.js";
import { by, choice, h, keyed, say } from "./dom.js";
import { health } from "./live.js";
import { view, viewed } from "./preferences.js";
import { start } from "./shell.js";
import { age, bytes, dayTime, wall } from "./units.js";

const NAMES = {
  stream_features: "Features (Spark)",
  serve_predictions: "Inference (Ray)",
  store_predictions: "Sink",
  kafka: "Kafka",
  ray: "Ray",
  job_host: "Job host",
  monitor_pipeline: "Watcher",
  store: "Store",
  observations: "Observations",
  predictions: "Predictions",
  model: "Model",
};
const HISTORY = [
  "part_memory_bytes",
  "part_cpu_seconds_total",
  "consumer_lag_seconds",
  "spark_batch_seconds",
  "network_bytes_total",
  "api_answers_total",
].map((name) => `weatherglass_${name}`);
const NOT_YET = "The watcher writes this down every five minutes; nothing yet.";
const LAST = { hoverformat: "%H:%M:%S" };
let hours = Number(viewed("hours", 1));
let shown = [];

choice(
  by("hours"),
  [
    [1, "1 h"],
    [6, "6 h"],
    [24, "24 h"],
    [168, "7 days"],
  ],
  hours,
  (value) => {
    hours = value;
    view({ hours: value === 1 ? null : value });
    soon();
  },
);
by("csv").addEventListener("click", () =>
  saveCsv("flow", ["start", "observations", "predictions", "latency_p50", "latency_p95"], shown),
);

async function draw() {
  // The store keeps a week, so the stretch that began a week ago is not asked for.
  const since = new Date(Math.ceil(Date.now() / 300e3) * 300e3 - hours * 3600e3).toISOString().replace(/\.\d+/, "");
  const [state, system, measured] = await Promise.all([
    health(),
    get("/system", { hours }),
    get("/metrics/history", { from: since, name: HISTORY }),
    showAlerts(),
  ]);
  shown = system.flow;
  keyed(
    by("parts"),
    state.parts.map((part) => ({ ...part, age_seconds: null })),
    (part) => part.name,
    (part) =>
      h(
        "div",
        {},
        h("span", { class: `dot ${part.state}`, role: "img", "aria-label": part.state }),
        h(
          "div",
          {},
          h("b", {}, NAMES[part.name] ?? part.name),
          part.state === "ok"
            ? null
            : h(
                "span",
                { class: `tag ${part.state === "failing" ? "bad" : "warn"}`, style: "margin-left: 8px" },
                part.state,
              ),
          h("p", {}, part.detail),
        ),
      ),
  );
  flow(system);
  measurements(measured);
  if (hours === 1) lately(system.jobs);
  else longer(measured);
  say(by("lag-note"), hours === 1 ? "records, as the jobs say" : "time the oldest record waits");
  jobs(system.jobs);
  keyed(
    by("usage"),
    system.usage,
    (row) => row.part,
    (row) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, row.part),
        ...[
          row.processes,
          `${row.memory_mb.toFixed(0)} MB`,
          row.cpu_cores === null ? "…" : `${row.cpu_cores.toFixed(2)} cores`,
          bytes(row.read_bytes),
          bytes(row.written_bytes),
        ].map((text) => h("td", { class: "num" }, text)),
      ),
  );
  if (!system.usage.length)
    by("usage").replaceChildren(
      h("tr", {}, h("td", { colspan: 6, class: "nothing" }, "No process of this pipeline can be seen from here.")),
    );
}

/** All charts of a range show the whole of it, so that they can be read side by side. */
const across = (box) =>
  timeAxis(by(box), {
    range: [wall(Date.now() - hours * 3600e3), wall(Date.now())],
    hoverformat: "%a %-d %b, %H:%M:%S",
  });
const dressed = (more) => layout({ uirevision: hours, ...more });

function flow(system) {
  const { one, two, soft } = palette();
  const times = system.flow.map((step) => wall(step.start));
  const minutes = system.step_seconds / 60;
  const margin = { l: 52, r: 18, t: 30, b: 30 };
  const line = (name, field, colour) => {
    const rows = system.flow.map((step, index) => [times[index], step[field]]).filter(([, value]) => value !== null);
    return {
      x: rows.map(([time]) => time),
      y: rows.map(([, value]) => value),
      mode: "lines+markers",
      marker: { size: 5 },
      name,
      line: { color: colour, width: 2 },
      hovertemplate: "%{y:.2f} s",
    };
  };
  plot(
    by("latency"),
    [line("half of them within", "latency_p50", one), line("95 % within", "latency_p95", two)],
    dressed({
      height: 280,
      xaxis: across("latency"),
      yaxis: axis({ rangemode: "tozero", ticksuffix: " s" }),
      margin,
      showlegend: true,
    }),
    "latency",
    "Nothing was stored in this time.",
  );
  const rate = (name, field, colour) => ({
    type: "bar",
    x: times,
    y: system.flow.map((step) => step[field] / minutes),
    name,
    marker: { color: colour },
    hovertemplate: "%{y:.1f} a minute",
  });
  plot(
    by("flow"),
    system.flow.some((step) => step.observations || step.predictions)
      ? [rate("observations", "observations", one), rate("predictions", "predictions", two)]
      : [],
    dressed({
      height: 280,
      barmode: "group",
      bargap: 0.15,
      xaxis: across("flow"),
      yaxis: axis({ rangemode: "tozero", title: { text: "a minute", font: { size: 12, color: soft } } }),
      margin,
    }),
    "flow",
    "Nothing was stored in this time.",
  );
}

/** Lines of one metric, one for each combination of its labels. */
function lines(measured, metric, share, hovertemplate, wanted = () => true) {
  const { one, two, three, four, quiet, warn, bad, ok } = palette();
  const colours = [one, two, three, four, warn, ok, quiet];
  return measured.series
    .filter((series) => series.name === `weatherglass_${metric}` && wanted(series.labels))
    .map((series, index) => ({
      x: series.times.map((time) => wall(time)),
      y: series.values.map((value) => value * share),
      mode: series.times.length < 2 ? "markers" : "lines",
      name: Object.values(series.labels).join(", "),
      line: {
        color: series.labels.outcome === "error" ? bad : colours[index % colours.length],
        width: 2,
        dash: index < colours.length ? "solid" : "4px 3px",
      },
      hovertemplate,
    }));
}

function history(box, traces, suffix) {
  // The legend stands above; the plot keeps its height however many lines it takes.
  const widest = 60 + 7.5 * Math.max(0, ...traces.map((trace) => trace.name.length));
  const rows = Math.ceil(traces.length / Math.max(1, Math.floor((by(box).clientWidth - 70) / widest)));
  const legend = { ...layout().legend, maxheight: 1000 };
  plot(
    by(box),
    traces,
    dressed({
      height: 240 + 20 * rows,
      xaxis: across(box),
      yaxis: axis({ rangemode: "tozero", ticksuffix: suffix }),
      margin: { l: 52, r: 18, t: 20 + 20 * rows, b: 40 },
      legend,
      showlegend: true,
    }),
    box,
    NOT_YET,
  );
}

function measurements(measured) {
  const seconds = measured.stretch_seconds; // counters are counted over these
  history("memory", lines(measured, "part_memory_bytes", 1e-6, "%{y:.0f} MB"), " MB");
  history("cpu", lines(measured, "part_cpu_seconds_total", 1 / seconds, "%{y:.2f} cores"), " cores");
  history("network", lines(measured, "network_bytes_total", 1e-3 / seconds, "%{y:.1f} kB/s"), " kB/s");
  history("answers", lines(measured, "api_answers_total", 60 / seconds, "%{y:.1f} a minute"), "");
}

/** What waits and Spark's batches over more than the jobs' last lines. */
function longer(measured) {
  history("lag", lines(measured, "consumer_lag_seconds", 1, "%{y:.1f} s"), " s");
  history("spark", lines(measured, "spark_batch_seconds", 1, "%{y:.2f} s"), " s");
}

const lagOf = (figures) =>
  typeof figures.lag === "object" && figures.lag !== null
    ? Object.values(figures.lag).reduce((sum, value) => sum + value, 0)
    : figures.lag;

/** What waits and Spark's batches in the jobs' last lines. */
function lately(list) {
  const { one, two, three } = palette();
  const colours = { stream_features: one, serve_predictions: two, store_predictions: three };
  const margin = { l: 52, r: 52, t: 30, b: 30 };
  const waiting = list.map((job) => {
    const lines = job.progress.filter((one) => Number.isFinite(lagOf(one.figures)));
    return {
      x: lines.map((line) => wall(line.at)),
      y: lines.map((line) => lagOf(line.figures)),
      mode: "lines+markers",
      marker: { size: 4 },
      line: { color: colours[job.name], width: 2, shape: "hv" },
      name: NAMES[job.name],
      hovertemplate: "%{y}",
    };
  });
  plot(
    by("lag"),
    waiting,
    dressed({
      height: 280,
      xaxis: timeAxis(by("lag"), LAST),
      yaxis: axis({ rangemode: "tozero" }),
      margin: { ...margin, r: 18 },
      showlegend: true,
    }),
    "lag",
    "The jobs have not said anything yet.",
  );
  const batches =
    list.find((job) => job.name === "stream_features")?.progress.filter((line) => Number.isFinite(line.figures.ms)) ??
    [];
  const times = batches.map((line) => wall(line.at));
  plot(
    by("spark"),
    [
      {
        type: "bar",
        x: times,
        y: batches.map((line) => line.figures.rows),
        yaxis: "y2",
        name: "observations",
        marker: { color: two, opacity: 0.55 },
        hovertemplate: "%{y}",
      },
      {
        x: times,
        y: batches.map((line) => line.figures.ms / 1000),
        mode: "lines+markers",
        marker: { size: 4 },
        line: { color: one, width: 2 },
        name: "duration",
        hovertemplate: "%{y:.2f} s",
      },
    ],
    dressed({
      height: 280,
      xaxis: timeAxis(by("spark"), LAST),
      yaxis: axis({ rangemode: "tozero", ticksuffix: " s" }),
      yaxis2: axis({
        overlaying: "y",
        side: "right",
        rangemode: "tozero",
        tickmode: "auto",
        nticks: 6,
        showgrid: false,
      }),
      margin,
    }),
    "batches",
    "Spark has not finished a batch yet.",
  );
}

function jobs(list) {
  keyed(
    by("jobs"),
    list.map(({ heartbeat_age, ...job }) => ({
      ...job,
      silent: heartbeat_age > 30 ? Math.round(heartbeat_age) : 0,
      progress: job.progress.slice(-6),
    })),
    (job) => job.name,
    (job) =>
      h(
        "div",
        {},
        h(
          "div",
          { class: "row" },
          h("b", {}, NAMES[job.name] ?? job.name),
          " ",
          h("span", { class: job.running ? "tag good" : "tag bad" }, job.running ? "runs" : "does not run"),
          " ",
          h(
            "span",
            { class: "muted" },
            job.started_at ? `since ${dayTime(job.started_at)} UTC` : "",
            job.silent ? `, silent for ${age(job.silent)}` : "",
          ),
        ),
        job.name === "serve_predictions" ? actors(job) : null,
        h(
          "pre",
          {},
          job.progress.map((line) => `${new Date(line.at).toISOString().slice(11, 19)}  ${line.said}`).join("\n") ||
            "nothing yet",
        ),
      ),
  );
}

function actors(job) {
  const last = job.progress.findLast((line) => line.figures.pids)?.figures;
  return last
    ? h(
        "p",
        { class: "muted" },
        `Ray actors: ${last.pids.length} (process ${last.pids.join(", ")}), ${last.rss_mb} MB, ${last.restarts} restarts, model version ${last.model_version}, detector ${last.detector_version ?? "rules alone"}`,
      )
    : null;
}

const soon = start(draw, { alert: () => soon() });
