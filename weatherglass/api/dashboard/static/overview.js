// The overview: what it is like at each station, what comes, what is suspect, and whether to trust the model.
import { get } from "./api.js";
import { by, choice, h, keyed, say } from "./dom.js";
import { flagItem } from "./flags.js";
import { StationMap } from "./map.js";
import { preference, view, viewed } from "./preferences.js";
import { showOrigin, start, stationLink } from "./shell.js";
import { apart, bare, clockTime, compass, scale, worded, zoneName } from "./units.js";

const COLOURS = [
  ["temperature", "Temperature"],
  ["wind_speed", "Wind"],
  ["pressure", "Pressure"],
  ["anomaly", "Suspect"],
];
// Perceptually even, and told apart by the colour-blind. Source: ColorBrewer RdYlBu, YlGnBu and PuOr, darkened in the middle.
const RAMPS = {
  temperature: ["#2c4a9e", "#4a8cc4", "#79bcc9", "#c9b458", "#dc7b3c", "#b0243a"],
  wind_speed: ["#8fb4bd", "#4d97ae", "#2a6fa3", "#33438f", "#5b1f79"],
  pressure: ["#7a3b8f", "#5d76b8", "#6ea6a4", "#b9953f", "#8c5a17"],
};
const RANGES = { temperature: [-15, 35], wind_speed: [0, 20] };

let colour = viewed("colour", "temperature");
let stations = [];
const map = new StationMap(by("map"), stationLink);
const scaleBox = h("div", { class: "scale" });
by("map").append(scaleBox);

choice(by("colour"), COLOURS, colour, (value) => {
  colour = value;
  view({ colour: value === "temperature" ? null : value });
  paint();
});

function mixed(ramp, share) {
  const place = Math.max(0, Math.min(1, share)) * (ramp.length - 1);
  const [low, high] = [ramp[Math.floor(place)], ramp[Math.ceil(place)]];
  const part = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
  return `rgb(${[1, 3, 5].map((at) => Math.round(part(low, at) + (part(high, at) - part(low, at)) * (place % 1))).join(" ")})`;
}

/** The range of the colours: fixed where it has a meaning, else that of the stations (pressure: apart from height). */
function extent(variable) {
  if (RANGES[variable]) return RANGES[variable];
  const values = stations.map((row) => shown(row, variable)).filter((value) => value !== null);
  const middle = values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
  const half = Math.max(8, ...values.map((value) => Math.abs(value - middle)));
  return [middle - half, middle + half];
}

/** Pressure is reduced to sea level, or colours would show the height. Source: ICAO standard atmosphere. */
function shown(row, variable) {
  const value = row.newest?.[variable] ?? null;
  if (variable !== "pressure" || value === null) return value;
  return row.station.elevation === null ? null : value / (1 - 2.25577e-5 * row.station.elevation) ** 5.25588;
}

function paint() {
  const placed = stations.filter((row) => row.station.latitude !== null);
  const variable = colour === "anomaly" ? "temperature" : colour;
  const [low, high] = extent(variable);
  const style = getComputedStyle(document.documentElement);
  const looks = new Map(
    placed.map((row) => {
      const value = shown(row, variable);
      const share = value === null ? null : (value - low) / (high - low);
      const suspect = row.is_anomaly === true;
      const plain = style.getPropertyValue(suspect ? "--bad" : "--ok").trim();
      const words = [
        worded("temperature", row.newest?.temperature),
        `wind ${worded("wind_speed", row.newest?.wind_speed)} ${compass(row.newest?.wind_direction)}`,
        worded("pressure", row.newest?.pressure),
        suspect ? `suspect: ${row.reasons.join("; ")}` : "not suspect",
      ];
      return [
        row.station.station_id,
        {
          colour:
            colour === "anomaly"
              ? plain
              : share === null
                ? style.getPropertyValue("--quiet").trim()
                : mixed(RAMPS[variable], share),
          angle: colour === "wind_speed" ? (row.newest?.wind_direction ?? null) : null,
          text: bare(variable, value),
          words: words.join(", "),
          suspect,
        },
      ];
    }),
  );
  map.show(
    placed.map((row) => ({
      id: row.station.station_id,
      name: row.station.name,
      longitude: row.station.longitude,
      latitude: row.station.latitude,
    })),
    looks,
  );
  const { unit } = scale(variable);
  scaleBox.replaceChildren(
    ...(colour === "anomaly"
      ? [h("span", { class: "dot failing" }), "suspect now", h("span", { class: "dot ok" }), "not suspect"]
      : [
          `${bare(variable, low)}`,
          h("span", { class: "ramp", style: `background: linear-gradient(90deg, ${RAMPS[variable].join(", ")})` }),
          `${bare(variable, high)} ${unit}${variable === "pressure" ? " at sea level" : ""}`,
        ]),
  );
}

function spark(series) {
  const points = series
    ? series.times.map((time, index) => [Date.parse(time), series.values[index]]).filter(([, value]) => value !== null)
    : [];
  if (points.length < 2) return h("span", { class: "muted" }, "–");
  const [width, height, edge] = [132, 30, 3];
  const [t0, t1] = [points[0][0], points.at(-1)[0]];
  const [low, high] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
  const x = (time) => edge + ((time - t0) / (t1 - t0 || 1)) * (width - 2 * edge);
  const y = (value) => height - edge - ((value - low) / Math.max(high - low, 1)) * (height - 2 * edge);
  const d = points
    .map(([time, value], index) => `${index ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`)
    .join("");
  return h(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `last 24 hours from ${worded("temperature", low)} to ${worded("temperature", high)}`,
    },
    h("path", { d }),
    h("circle", { cx: x(t1), cy: y(points.at(-1)[1]), r: 2.5 }),
  );
}

const arrow = (degrees) =>
  degrees === null || degrees === undefined
    ? null
    : h(
        "svg",
        { class: "arrow", viewBox: "0 0 16 16", "aria-hidden": "true" },
        h("path", { d: "M8 15 L3.5 6 L8 8 L12.5 6 Z", transform: `rotate(${degrees} 8 8)` }),
      );

function columns() {
  const heads = [
    ["Station", ""],
    [`Now, ${scale("temperature").unit}`, "num"],
    ["Last 24 h", "wide-only"],
    ["Next 24 h", ""],
    ["Wind", ""],
    ["Humidity", "num wide-only"],
    ["Pressure", "num"],
    ["Reading", ""],
  ];
  by("columns").replaceChildren(
    h("tr", {}, ...heads.map(([label, kind]) => h("th", { scope: "col", class: kind || null }, label))),
  );
}

function line({ row, series }) {
  const { station, newest, ahead } = row;
  const span = (variable) =>
    ahead
      ? h(
          "span",
          { class: "span" },
          h("b", {}, bare(variable, ahead[variable].least)),
          " to ",
          h("b", {}, bare(variable, ahead[variable].greatest)),
          ` ${scale(variable).unit}`,
        )
      : "–";
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      h("a", { href: stationLink(station.station_id) }, station.name),
      row.is_anomaly ? h("span", { class: "tag bad", title: row.reasons.join("; ") }, "suspect") : null,
    ),
    h("td", { class: "num big" }, bare("temperature", newest?.temperature)),
    h("td", { class: "wide-only" }, spark(series)),
    h("td", {}, span("temperature"), ahead && ahead.method !== "model" ? h("small", {}, " fallback") : null),
    h(
      "td",
      {},
      arrow(newest?.wind_direction),
      worded("wind_speed", newest?.wind_speed),
      " ",
      h("small", {}, compass(newest?.wind_direction)),
      ahead ? h("small", {}, `, up to ${bare("wind_speed", ahead.wind_speed.greatest)}`) : null,
    ),
    h("td", { class: "num wide-only" }, worded("humidity", newest?.humidity)),
    h("td", { class: "num" }, worded("pressure", newest?.pressure)),
    h(
      "td",
      {},
      newest ? `${clockTime(newest.timestamp, station.timezone)} ` : "–",
      newest ? h("small", {}, `${zoneName(station.timezone)}`) : null,
    ),
  );
}

function tile(label, figure, below, mood = "") {
  return h(
    "div",
    {},
    h(
      "dl",
      { style: "margin: 0" },
      h("dt", {}, label),
      h("dd", { class: `figure ${mood}` }, ...[figure].flat()),
      h("dd", { class: "below" }, below),
    ),
  );
}

function glance(answer, counts, verification) {
  const reporting = stations.filter((row) => row.arrived_seconds !== null && row.arrived_seconds < 2 * 3600);
  const newest = stations
    .map((row) => row.newest?.timestamp)
    .filter(Boolean)
    .sort()
    .at(-1);
  const suspect = stations.filter((row) => row.is_anomaly);
  const model = stations.map((row) => row.ahead).filter((ahead) => ahead?.method === "model");
  const fallback = stations.filter((row) => row.ahead).length - model.length;
  const score = verification.scores.filter(
    (one) =>
      !one.hindcast && one.variable === "temperature" && model.some((ahead) => ahead.model_version === one.version),
  )[0];
  const trust = score
    ? tile(
        "Model, last 7 days",
        [apart("temperature", score.mae), h("small", {}, " mean error")],
        score.skill_damped === null
          ? `over ${score.n} forecasts`
          : `${Math.abs(score.skill_damped * 100).toFixed(0)} % ${score.skill_damped >= 0 ? "better" : "worse"} than the damped anomaly${score.coverage_90 === null ? "" : `; 90 % intervals held ${(score.coverage_90 * 100).toFixed(0)} %`}`,
        score.skill_damped !== null && score.skill_damped < 0 ? "worse" : "",
      )
    : tile(
        "Model",
        model.length ? [`version ${model[0].model_version}`] : ["–"],
        model.length ? "not yet verified against what came true" : "no forecast by a model yet",
      );
  const extreme = (variable, pick) =>
    stations
      .filter((row) => row.ahead)
      .sort((a, b) => pick * (b.ahead[variable].greatest - a.ahead[variable].greatest))[0];
  const windiest = extreme("wind_speed", 1);
  keyed(
    by("glance"),
    [
      ["stations", [`${reporting.length}`, stations.length - reporting.length], newest, fallback],
      ["suspect", suspect.length, counts],
      ["trust", score, model[0]?.model_version],
      ["comes", windiest?.ahead, windiest?.station.name],
    ].map((part) => [...part, shownIn()]),
    ([name]) => name,
    ([name]) =>
      ({
        stations: () =>
          tile(
            "Stations reporting",
            [`${reporting.length}`, h("small", {}, ` of ${stations.length}`)],
            newest
              ? `newest reading ${clockTime(newest)} UTC${fallback ? `; ${fallback} by a fallback forecast` : ""}`
              : "no reading yet",
            reporting.length < stations.length ? "doubt" : "",
          ),
        suspect: () =>
          tile(
            "Suspect now",
            [`${suspect.length}`],
            `${counts.total} readings in 7 days, ${counts.open} not yet decided`,
            suspect.length ? "worse" : "",
          ),
        trust: () => trust,
        comes: () =>
          tile(
            "Strongest wind ahead",
            [windiest ? worded("wind_speed", windiest.ahead.wind_speed.greatest) : "–"],
            windiest ? `${windiest.station.name}, within 24 hours` : "no forecast yet",
          ),
      })[name](),
  );
}

const shownIn = () => ["temp", "wind", "time"].map(preference);

async function draw() {
  const [answer, recent, suspects, counts, verification] = await Promise.all([
    get("/stations"),
    get("/observations", { variable: "temperature", hours: 24 }),
    get("/anomalies", { limit: 6 }),
    get("/anomalies/counts"),
    get("/verification", { days: 7, by: "all" }),
  ]);
  stations = answer.stations;
  const series = new Map(recent.stations.map((one) => [one.station_id, one]));
  const named = new Map(stations.map((row) => [row.station.station_id, row.station]));
  showOrigin(stations.map((row) => row.source));
  glance(answer, counts, verification);
  paint();
  columns();
  say(by("count"), stations.length ? `${stations.length} stations` : "");
  if (stations.length) {
    const units = shownIn();
    keyed(
      by("stations"),
      stations.map((row) => ({
        row: { ...row, age_seconds: null, arrived_seconds: null },
        series: series.get(row.station.station_id),
        units,
      })),
      (item) => item.row.station.station_id,
      line,
    );
  } else {
    by("stations").replaceChildren(
      h(
        "tr",
        {},
        h(
          "td",
          { colspan: 8, class: "nothing" },
          "No reading yet. The first ones come within minutes of the pipeline's start.",
        ),
      ),
    );
  }
  const list = by("suspects");
  if (suspects.anomalies.length)
    keyed(
      list,
      suspects.anomalies.map((flag) => ({ flag, units: shownIn() })),
      ({ flag }) => flag.id,
      ({ flag }, fresh) => flagItem(flag, named.get(flag.station_id), { acts: false, fresh: fresh && drawn }),
    );
  else list.replaceChildren(h("li", { class: "nothing" }, "No reading has been flagged."));
  drawn = true;
}

let drawn = false;
start(draw);
addEventListener("weatherglass:preferences", () => stations.length && paint());
