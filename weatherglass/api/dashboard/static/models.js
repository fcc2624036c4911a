// Models: can the forecasts be trusted, which version serves, what may replace it, and do the inputs still look alike.
import { get } from "./api.js";
import { axis, layout, palette, plot, saveCsv } from "./charts.js";
import { by, choice, h, keyed, say } from "./dom.js";
import { preference, view, viewed } from "./preferences.js";
import { showOrigin, start } from "./shell.js";
import { apart, dayTime, NAMES, scale, VARIABLES } from "./units.js";

const ROLES = { forecaster: "Forecaster", "anomaly-detector": "Anomaly detector" };
let variable = viewed("variable", "temperature");
let shown = [];

choice(
  by("variable"),
  VARIABLES.map((name) => [name, NAMES[name]]),
  variable,
  (value) => {
    variable = value;
    view({ variable: value === "temperature" ? null : value });
    soon();
  },
);
for (const [name, usual] of [
  ["days", "30"],
  ["station", ""],
]) {
  const value = viewed(name, usual);
  if (![...by(name).options].some((option) => option.value === value)) by(name).append(h("option", { value }, value));
  by(name).value = value;
  by(name).addEventListener("change", () => {
    view({ [name]: by(name).value === usual ? null : by(name).value });
    soon();
  });
}
by("csv").addEventListener("click", () => saveCsv("verification", Object.keys(shown[0] ?? { version: 1 }), shown));

async function draw() {
  const query = { days: by("days").value, station_id: by("station").value };
  const [models, byLead, byDay, all, stations] = await Promise.all([
    get("/models"),
    get("/verification", { ...query, by: "lead" }),
    get("/verification", { ...query, by: "day", variable }),
    get("/verification", { ...query, by: "all" }),
    get("/stations"),
  ]);
  places(stations.stations);
  showOrigin(stations.stations.map((row) => row.source));
  shown = byLead.scores;
  const serving = stations.stations.map((row) => row.ahead).find((ahead) => ahead?.method === "model")?.model_version;
  const champion =
    models.versions.find((model) => model.kind === "forecaster" && model.aliases.includes("champion"))?.version ??
    serving;
  figures(all.scores, champion, byLead);
  charts(
    byLead.scores.filter((score) => score.variable === variable),
    byDay.scores,
    champion,
  );
  versions(models.versions);
  const units = ["time"].map(preference);
  if (models.promotions.length)
    keyed(
      by("log"),
      models.promotions.map((one) => ({ one, units })),
      ({ one }) => one.at + one.kind + one.action,
      ({ one }) => promotion(one),
    );
  else by("log").replaceChildren(h("li", { class: "nothing" }, "No version has been promoted yet."));
  drift(models.drift, champion);
}

function places(stations) {
  const content = JSON.stringify(stations.map((row) => row.station.station_id));
  if (by("station").content === content) return;
  by("station").content = content;
  const kept = by("station").value;
  by("station").replaceChildren(
    h("option", { value: "" }, "all"),
    ...stations.map((row) => h("option", { value: row.station.station_id }, row.station.name)),
  );
  by("station").value = kept;
}

/** The champion's own scores, live before hindcast; else those of whatever has the most. */
function chosen(scores, champion) {
  const pick = (of) => scores.filter(of);
  const live = pick((score) => score.version === champion && !score.hindcast);
  if (live.length) return live;
  const hindcast = pick((score) => score.version === champion);
  return hindcast.length ? hindcast : scores;
}

function figures(scores, champion, verification) {
  const tiles = VARIABLES.map((name) => {
    const score = chosen(
      scores.filter((one) => one.variable === name),
      champion,
    ).sort((a, b) => b.n - a.n)[0];
    if (!score) return [NAMES[name], "–", "not yet verified", ""];
    const skill = score.skill_damped;
    const words =
      skill === null
        ? `${score.n} forecasts`
        : `${Math.abs(skill * 100).toFixed(0)} % ${skill >= 0 ? "better" : "worse"} than the damped anomaly; 90 % intervals held ${score.coverage_90 === null ? "–" : (score.coverage_90 * 100).toFixed(0) + " %"}`;
    return [NAMES[name], apart(name, score.mae), words, skill !== null && skill < 0 ? "worse" : ""];
  });
  keyed(
    by("figures"),
    tiles,
    ([name]) => name,
    ([name, figure, below, mood]) =>
      h(
        "div",
        {},
        h(
          "dl",
          { style: "margin: 0" },
          h("dt", {}, name),
          h("dd", { class: `figure ${mood}` }, figure, figure === "–" ? null : h("small", {}, " mean error")),
          h("dd", { class: "below" }, below),
        ),
      ),
  );
  say(
    by("lead-note"),
    verification.verified_through
      ? `verified through ${dayTime(verification.verified_through)} UTC`
      : "nothing verified yet",
  );
}

function charts(byLead, byDay, champion) {
  const { one, two, three, four, quiet, soft } = palette();
  const colours = [one, two, three, four];
  const { unit, difference } = scale(variable);
  const groups = [...new Set(byLead.map((score) => `${score.version}|${score.hindcast}`))];
  const named = (group) => {
    const [version, hindcast] = group.split("|");
    return `version ${version}${version === champion ? ", champion" : ""}${hindcast === "true" ? ", hindcast" : ""}`;
  };
  const of = (group, scores) => scores.filter((score) => `${score.version}|${score.hindcast}` === group);
  const converted = (value) => (value === null ? null : difference(value));
  const lines = groups.map((group, index) => ({
    x: of(group, byLead).map((score) => score.lead),
    y: of(group, byLead).map((score) => converted(score.mae)),
    mode: "lines+markers",
    marker: { size: 5 },
    name: named(group),
    line: { color: colours[index % 4], width: 2.5 },
    hovertemplate: `%{y:.2f} ${unit}`,
  }));
  const main =
    groups.find((group) => group === `${champion}|false`) ??
    groups.find((group) => group.startsWith(`${champion}|`)) ??
    groups[0];
  const baselines = main
    ? [
        ["mae_damped", "damped anomaly", "5px 3px"],
        ["mae_persistence", "persistence", "2px 3px"],
      ].map(([field, name, dash]) => ({
        x: of(main, byLead).map((score) => score.lead),
        y: of(main, byLead).map((score) => converted(score[field])),
        mode: "lines",
        name,
        line: { color: quiet, width: 2, dash },
        hovertemplate: `%{y:.2f} ${unit}`,
      }))
    : [];
  const leadAxis = axis({
    title: { text: "lead, hours", font: { color: soft, size: 12 } },
    dtick: 3,
    range: [0.5, 24.5],
  });
  const margin = { l: 52, r: 18, t: 34, b: 44 };
  plot(
    by("by-lead"),
    [...lines, ...baselines],
    layout({ height: 330, xaxis: leadAxis, yaxis: axis({ rangemode: "tozero", ticksuffix: ` ${unit}` }), margin }),
    `error by lead, ${variable}`,
    "Nothing verified yet: forecasts are compared with what came true as soon as it has.",
  );
  const held = main
    ? [
        ["coverage_90", "90 % interval", one, 90],
        ["coverage_80", "80 % interval", two, 80],
      ].map(([field, name, colour]) => ({
        x: of(main, byLead)
          .filter((score) => score[field] !== null)
          .map((score) => score.lead),
        y: of(main, byLead)
          .filter((score) => score[field] !== null)
          .map((score) => score[field] * 100),
        mode: "lines+markers",
        marker: { size: 5 },
        name,
        line: { color: colour, width: 2.5 },
        hovertemplate: "%{y:.1f} %",
      }))
    : [];
  const promise = (share, colour) => ({
    type: "line",
    x0: 0,
    x1: 1,
    xref: "paper",
    y0: share,
    y1: share,
    line: { color: colour, width: 1, dash: "4px 4px" },
  });
  plot(
    by("coverage"),
    held,
    layout({
      height: 330,
      xaxis: leadAxis,
      yaxis: axis({ ticksuffix: " %", range: [50, 101] }),
      shapes: [promise(90, one), promise(80, two)],
      margin,
      showlegend: true,
    }),
    `coverage, ${variable}`,
    "Nothing verified yet.",
  );
  const dayGroups = [...new Set(byDay.map((score) => `${score.version}|${score.hindcast}`))];
  plot(
    by("by-day"),
    dayGroups.map((group, index) => ({
      x: of(group, byDay).map((score) => score.day),
      y: of(group, byDay).map((score) => converted(score.mae)),
      mode: "lines+markers",
      marker: { size: 5 },
      name: named(group),
      line: { color: colours[index % 4], width: 2.5 },
      hovertemplate: `%{y:.2f} ${unit}`,
    })),
    layout({
      height: 260,
      xaxis: axis({
        type: "date",
        tickformat: "%-d %b",
        dtick: new Set(byDay.map((score) => score.day)).size < 15 ? 86400e3 : undefined,
      }),
      yaxis: axis({ rangemode: "tozero", ticksuffix: ` ${unit}` }),
      margin: { ...margin, b: 30 },
      showlegend: true,
    }),
    `error by day, ${variable}`,
    "Nothing verified yet.",
  );
}

function versions(list) {
  if (!list.length) {
    by("versions").replaceChildren(
      h("tr", {}, h("td", { colspan: 5, class: "nothing" }, "No model yet. The DAG train_models makes the first one.")),
    );
    return;
  }
  const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
  keyed(
    by("versions"),
    list.map((model) => ({ ...model, times: preference("time") })),
    (model) => `${model.kind} ${model.version}`,
    (model) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, ROLES[model.kind] ?? model.kind),
        h("td", {}, model.version),
        h(
          "td",
          {},
          ...model.aliases.map((alias) => h("span", { class: alias === "champion" ? "tag good" : "tag" }, alias)),
          model.quarantined ? h("span", { class: "tag bad", title: model.quarantined }, "refused") : null,
        ),
        h("td", {}, `${dayTime(model.created_at)} UTC`),
        h(
          "td",
          { class: "words" },
          h(
            "details",
            {},
            h(
              "summary",
              {},
              Object.entries(model.metrics)
                .slice(0, 4)
                .map(([name, value]) => `${name.replaceAll("_", " ")} ${number(value)}`)
                .join(", ") || "none",
            ),
            h(
              "small",
              { class: "muted" },
              [
                ...Object.entries(model.metrics)
                  .slice(4)
                  .map(([name, value]) => `${name} ${number(value)}`),
                ...Object.entries(model.params).map(([name, value]) => `${name} ${value}`),
              ].join(", "),
            ),
          ),
        ),
      ),
  );
}

function promotion(one) {
  const words = {
    promote: "was made champion",
    rollback: "was made champion again",
    challenge: "was made challenger",
    withdraw: "is no longer challenger",
  };
  const version = one.to_version ?? one.from_version;
  return h(
    "li",
    {},
    h(
      "div",
      { class: "row" },
      h("strong", {}, `${ROLES[one.kind] ?? one.kind} ${version ?? ""} ${words[one.action] ?? one.action}`),
      h("span", { class: "muted" }, `${dayTime(one.at)} UTC`),
    ),
    h("p", { class: "why" }, one.why),
    h(
      "p",
      { class: "muted" },
      `by ${one.who}${one.from_version && one.to_version ? `, in place of ${one.from_version}` : ""}`,
    ),
  );
}

function drift(rows, champion) {
  const { one, warn, bad } = palette();
  const mine = rows.filter((row) => row.version === champion);
  const found = (mine.length ? mine : rows).slice(0, 14).reverse();
  say(by("drift-note"), found.length ? `${found[0].day}, version ${found[0].version}` : "");
  plot(
    by("drift"),
    [
      {
        type: "bar",
        orientation: "h",
        y: found.map((row) => row.feature.replaceAll("_", " ")),
        x: found.map((row) => row.psi),
        marker: {
          color: found.map((row) => (row.psi > row.psi_limit ? bad : row.psi > row.psi_limit / 2 ? warn : one)),
        },
        customdata: found.map((row) => row.psi_limit),
        hovertemplate: "%{x:.3f}, up to %{customdata:.3f} is usual<extra></extra>",
      },
    ],
    layout({
      height: 300,
      hovermode: "closest",
      yaxis: axis({ type: "category" }),
      xaxis: axis({
        rangemode: "tozero",
        title: { text: "population stability index; red is beyond what weather does", font: { size: 12 } },
      }),
      margin: { l: 52, r: 18, t: 8, b: 44 },
    }),
    "drift",
    "No drift has been measured yet.",
  );
}

const soon = start(draw);
