// One station: what was, what comes, what was expected, and which readings are suspect.
import { get } from "./api.js";
import { axis, faded, layout, palette, plot, saveCsv, savePng, timeAxis } from "./charts.js";
import { by, choice, h, keyed, say } from "./dom.js";
import { flagItem } from "./flags.js";
import { preference, view, viewed } from "./preferences.js";
import { showOrigin, start, stationLink } from "./shell.js";
import {
  bare,
  clockTime,
  compass,
  dayTime,
  inUnit,
  NAMES,
  scale,
  VARIABLES,
  wall,
  worded,
  zone,
  zoneName,
} from "./units.js";

const RANGES = [
  [24, "24 h"],
  [72, "3 days"],
  [168, "7 days"],
  [720, "30 days"],
];
const HOUR = 3600e3;

let id = viewed("id");
let hours = Number(viewed("hours", 72));
let until = viewed("until");
let withPast = viewed("past") !== "no";
let shown = { readings: [], leads: [] };

choice(by("range"), RANGES, hours, (value) => {
  hours = value;
  view({ hours: value === 72 ? null : value });
  soon();
});
by("past").checked = withPast;
by("past").addEventListener("change", () => {
  withPast = by("past").checked;
  view({ past: withPast ? null : "no" });
  soon();
});
by("until").value = until ? until.slice(0, 16) : "";
by("until").addEventListener("change", () => {
  until = by("until").value ? `${by("until").value}:00Z` : null;
  view({ until });
  soon();
});
by("pick").addEventListener("change", () => location.assign(stationLink(by("pick").value)));
by("png").addEventListener("click", () => savePng(by("course"), `${id} course`));
by("csv").addEventListener("click", () => {
  const columns = [
    "station_id",
    "what",
    "time",
    ...VARIABLES.flatMap((name) => [name, `${name}_lower`, `${name}_upper`]),
    "wind_direction",
  ];
  const forecast = shown.leads.map((lead) => ({
    station_id: id,
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
  saveCsv(`${id} course`, columns, [
    ...shown.readings.map((reading) => ({ station_id: id, what: "observed", time: reading.timestamp, ...reading })),
    ...forecast,
  ]);
});

const orNull = (promise) =>
  promise.catch((error) => {
    if (error.missing) return null;
    throw error;
  });

async function draw() {
  const all = (await get("/stations")).stations;
  id ??= all[0]?.station.station_id ?? null;
  picker(all);
  if (id === null) {
    say(by("place"), "No station has been observed yet.");
    return;
  }
  const path = encodeURIComponent(id);
  const [prediction, row] = [
    await orNull(get(`/predictions/${path}`)),
    all.find((one) => one.station.station_id === id),
  ];
  if (!row && !prediction) {
    say(by("name"), id);
    say(by("place"), "There is no such station, or nothing has come from it yet.");
    return;
  }
  const station = row?.station ?? prediction.station;
  const newest = row?.newest?.timestamp ?? prediction.timestamp;
  const end = until ? Date.parse(until) : Date.parse(newest) + 1000;
  const from = new Date(end - hours * HOUR).toISOString();
  const to = new Date(end).toISOString();
  const issued = until ? end : Date.parse(newest);
  const [readings, flags, past] = await Promise.all([
    orNull(get(`/observations/${path}`, { from, to })),
    get("/anomalies", { station_id: id, since: from, until: to, limit: 200 }),
    withPast
      ? orNull(
          get(`/predictions/${path}/history`, {
            from: new Date(issued - 25 * HOUR).toISOString(),
            to: new Date(issued - 23.9 * HOUR).toISOString(),
            limit: 8,
          }),
        )
      : null,
  ]);
  shown = { readings: readings?.observations ?? [], leads: until ? [] : (prediction?.leads ?? []) };
  showOrigin([row?.source ?? prediction?.source]);
  head(station, row, prediction);
  course(station, prediction, flags.anomalies, earlier(past));
  table(station, prediction);
  const list = by("flags");
  if (flags.anomalies.length)
    keyed(
      list,
      flags.anomalies.map((flag) => ({ flag, times: preference("time") })),
      ({ flag }) => flag.id,
      ({ flag }, fresh) => flagItem(flag, station, { named: false, fresh: fresh && drawn, judged: soon }),
    );
  else list.replaceChildren(h("li", { class: "nothing" }, "No reading of this range has been flagged."));
  drawn = true;
}

let drawn = false;

function picker(all) {
  const content = JSON.stringify(all.map((row) => row.station.station_id));
  if (by("pick").content === content) return;
  by("pick").content = content;
  by("pick").replaceChildren(
    ...all.map((row) =>
      h("option", { value: row.station.station_id, selected: row.station.station_id === id }, row.station.name),
    ),
  );
}

function head(station, row, prediction) {
  document.title = `${station.name} · Weatherglass`;
  say(by("name"), station.name);
  const where =
    station.latitude === null
      ? "place unknown"
      : `${Math.abs(station.latitude).toFixed(2)}° ${station.latitude < 0 ? "S" : "N"}, ${Math.abs(station.longitude).toFixed(2)}° ${station.longitude < 0 ? "W" : "E"}${station.elevation === null ? "" : `, ${Math.round(station.elevation)} m`}`;
  say(by("place"), [station.country, where, `times in ${zoneName(station.timezone)}`].filter(Boolean).join(" · "));
  const now = row?.newest;
  const cell = (label, figure, below) =>
    h(
      "div",
      {},
      h(
        "dl",
        { style: "margin: 0" },
        h("dt", {}, label),
        h("dd", { class: "figure" }, figure),
        h("dd", { class: "below" }, below),
      ),
    );
  const expects = (name) =>
    prediction?.leads.length
      ? `${bare(name, Math.min(...prediction.leads.map((lead) => lead[name].value)))} to ${bare(name, Math.max(...prediction.leads.map((lead) => lead[name].value)))} in the next 24 h`
      : "no forecast yet";
  const cells = [
    ...VARIABLES.map((name) => [NAMES[name], worded(name, now?.[name]), expects(name)]),
    [
      "Wind from",
      now?.wind_direction === null || now?.wind_direction === undefined
        ? "–"
        : `${compass(now.wind_direction)} ${Math.round(now.wind_direction)}°`,
      now ? `reading of ${dayTime(now.timestamp, station.timezone)}` : "",
    ],
    [
      "The reading is",
      row?.is_anomaly ? "suspect" : prediction ? "as usual" : "–",
      prediction
        ? `score ${prediction.anomaly.score.toFixed(2)}; ${Object.values(prediction.anomaly.checks).filter((state) => state === "not_checked").length} of ${Object.keys(prediction.anomaly.checks).length} checks had nothing to check`
        : "not yet checked",
    ],
  ];
  keyed(
    by("now"),
    cells,
    ([label]) => label,
    ([label, figure, below]) =>
      cell(
        label,
        label === "The reading is" && figure === "suspect" ? h("span", { class: "worse" }, figure) : figure,
        below,
      ),
  );
}

/** The one issue of a day earlier whose hours have come true since. */
function earlier(past) {
  const first = past?.forecasts[0]?.timestamp;
  return first ? past.forecasts.filter((one) => one.timestamp === first) : [];
}

function course(station, prediction, flags, past) {
  const { one, two, bad, quiet, soft, ink, line } = palette();
  const times = shown.readings.map((reading) => wall(reading.timestamp, station.timezone));
  const heights = [
    [0.79, 1],
    [0.58, 0.76],
    [0.37, 0.55],
    [0.14, 0.34],
    [0, 0.1],
  ];
  const flagged = new Set(flags.map((flag) => flag.timestamp));
  const traces = [];
  const axes = {};
  const notes = [];
  VARIABLES.forEach((name, index) => {
    const yaxis = index ? `y${index + 1}` : "y";
    const unit = scale(name).unit;
    const hover = `%{y:.${scale(name).digits}f} ${unit}`;
    const band = (leads, time, colour, label) => [
      {
        x: leads.map(time),
        y: leads.map((lead) => inUnit(name, lead[name].upper)),
        yaxis,
        mode: "lines",
        line: { width: 0 },
        hoverinfo: "skip",
        showlegend: false,
      },
      {
        x: leads.map(time),
        y: leads.map((lead) => inUnit(name, lead[name].lower)),
        yaxis,
        mode: "lines",
        line: { width: 0 },
        fill: "tonexty",
        fillcolor: faded(colour, 0.2),
        hoverinfo: "skip",
        showlegend: false,
      },
      {
        x: leads.map(time),
        y: leads.map((lead) => inUnit(name, lead[name].value)),
        yaxis,
        mode: "lines",
        line: { color: colour, width: 2, dash: "5px 3px" },
        name: label,
        hovertemplate: hover,
        showlegend: false,
      },
    ];
    const time = (lead) => wall(lead.valid_time, station.timezone);
    if (past.length) traces.push(...band(past, time, quiet, `${NAMES[name]}, forecast a day before`));
    if (shown.leads.length) traces.push(...band(shown.leads, time, two, `${NAMES[name]}, forecast`));
    traces.push({
      x: times,
      y: shown.readings.map((reading) => inUnit(name, reading[name])),
      yaxis,
      mode: "lines",
      line: { color: one, width: 2 },
      name: `${NAMES[name]}, observed`,
      hovertemplate: hover,
      showlegend: false,
    });
    const marked = shown.readings.filter((reading) => flagged.has(reading.timestamp) && reading[name] !== null);
    traces.push({
      x: marked.map((reading) => wall(reading.timestamp, station.timezone)),
      y: marked.map((reading) => inUnit(name, reading[name])),
      yaxis,
      mode: "markers",
      marker: { color: "rgba(0,0,0,0)", size: 10, line: { color: bad, width: 2 } },
      name: "flagged",
      hovertemplate: "flagged",
      showlegend: false,
    });
    axes[index ? `yaxis${index + 1}` : "yaxis"] = axis({ domain: heights[index], nticks: 5, zeroline: false });
    notes.push({
      text: `${NAMES[name]}, ${unit}`,
      xref: "paper",
      yref: "paper",
      x: 0,
      y: heights[index][1],
      xanchor: "left",
      yanchor: "bottom",
      showarrow: false,
      font: { size: 12.5, color: soft },
    });
  });
  const step = Math.max(1, Math.ceil(shown.readings.length / (by("course").clientWidth / 18)));
  const winds = shown.readings.filter((reading, index) => index % step === 0 && reading.wind_direction !== null);
  traces.push({
    x: winds.map((reading) => wall(reading.timestamp, station.timezone)),
    y: winds.map(() => 0),
    yaxis: "y5",
    mode: "markers",
    name: "Wind from",
    customdata: winds.map((reading) => `${compass(reading.wind_direction)} ${Math.round(reading.wind_direction)}°`),
    hovertemplate: "%{customdata}",
    marker: {
      symbol: "arrow",
      size: 11,
      color: soft,
      angle: winds.map((reading) => (reading.wind_direction + 180) % 360),
    },
    showlegend: false,
  });
  notes.push({
    text: "Wind blows towards",
    xref: "paper",
    yref: "paper",
    x: 0,
    y: heights[4][1],
    xanchor: "left",
    yanchor: "bottom",
    showarrow: false,
    font: { size: 12.5, color: soft },
  });
  const shapes =
    shown.leads.length && shown.readings.length
      ? [
          {
            type: "line",
            x0: times.at(-1),
            x1: times.at(-1),
            y0: 0,
            y1: 1,
            yref: "paper",
            line: { color: line, width: 2 },
          },
        ]
      : [];
  plot(
    by("course"),
    traces,
    layout({
      ...axes,
      yaxis5: axis({ domain: heights[4], visible: false, range: [-1, 1], fixedrange: true }),
      xaxis: timeAxis(by("course"), { anchor: "y5" }),
      annotations: notes,
      shapes,
      margin: { l: 52, r: 18, t: 24, b: 44 },
      height: 780,
      uirevision: `${id} ${hours} ${until} ${zone(station.timezone)}`,
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
    }),
    `${id} course`,
    "No reading in this range.",
  );
  const level = prediction ? Math.round(prediction.interval_level * 100) : 90;
  const item = (kind, colour, words) => {
    const mark = h("i", { class: kind });
    if (kind === "band") mark.style.background = colour;
    else if (kind !== "mark") mark.style.borderColor = colour;
    return h("span", {}, mark, words);
  };
  by("legend").replaceChildren(
    item("", one, "observed"),
    ...(shown.leads.length ? [item("dash", two, "forecast"), item("band", two, `${level} % interval`)] : []),
    ...(past.length ? [item("dash", quiet, `forecast of ${dayTime(past[0].timestamp, station.timezone)}`)] : []),
    item("mark", bad, "flagged"),
  );
}

function table(station, prediction) {
  say(
    by("issue"),
    prediction
      ? `for the reading of ${clockTime(prediction.timestamp, station.timezone)}, ${prediction.method === "model" ? `model version ${prediction.model_version}` : `fallback: ${prediction.method.replaceAll("_", " ")}`}, ${prediction.history_hours} h of own past`
      : "",
  );
  by("hours-head").replaceChildren(
    h(
      "tr",
      {},
      h("th", { scope: "col" }, zoneName(station.timezone)),
      ...VARIABLES.map((name) => h("th", { scope: "col", class: "num" }, `${NAMES[name]}, ${scale(name).unit}`)),
    ),
  );
  const units = ["temp", "wind", "time"].map(preference);
  keyed(
    by("hours"),
    (prediction?.leads ?? []).map((lead) => ({ lead, units })),
    ({ lead }) => lead.valid_time,
    ({ lead }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, dayTime(lead.valid_time, station.timezone)),
        ...VARIABLES.map((name) =>
          h(
            "td",
            { class: "num" },
            h("b", {}, bare(name, lead[name].value)),
            h(
              "small",
              { class: "muted" },
              ` ${bare(name, lead[name].lower)}\u2009…\u2009${bare(name, lead[name].upper)}`,
            ),
          ),
        ),
      ),
  );
  if (!prediction)
    by("hours").replaceChildren(h("tr", {}, h("td", { colspan: 5, class: "nothing" }, "No forecast yet.")));
}

const soon = start(draw);
