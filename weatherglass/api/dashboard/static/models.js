// The page Models: verification scores, registered versions, promotions, and drift of the input features.
import { get } from "./api.js";
import { axis, layout, palette, plot, saveCsv } from "./charts.js";
import { byId, h, renderButtonGroup, renderList, setText, summaryTile } from "./dom.js";
import { renderGuidanceSkill } from "./guidance_skill.js";
import { getPreference, getUrlParam, setUrlParams } from "./preferences.js";
import { scoreTile } from "./score_tile.js";
import { showSources, startPage } from "./shell.js";
import { displayUnit, formatDateTime, VARIABLE_LABELS, VARIABLES } from "./units.js";

const MODEL_LABELS = { forecaster: "Forecaster", "anomaly-detector": "Anomaly detector", guidance: "Guidance" };
const ACTION_LABELS = {
  promote: "promoted to champion",
  rollback: "rolled back to champion",
  challenge: "made challenger",
  withdraw: "withdrawn as challenger",
};
const MAX_DRIFT_FEATURES = 14;
const NOT_VERIFIED = "Not verified yet. Forecasts are verified once their valid times have passed.";
const CHART_MARGIN = { l: 52, r: 18, t: 34, b: 44 };

let variable = getUrlParam("variable", "temperature");
let leadScores = [];

renderButtonGroup(
  byId("variable"),
  VARIABLES.map((name) => [name, VARIABLE_LABELS[name]]),
  variable,
  (value) => {
    variable = value;
    setUrlParams({ variable: value === "temperature" ? null : value });
    refreshSoon();
  },
);
for (const [name, defaultValue] of [
  ["days", "30"],
  ["station", ""],
]) {
  const select = byId(name);
  const value = getUrlParam(name, defaultValue);
  if (![...select.options].some((option) => option.value === value)) select.append(h("option", { value }, value));
  select.value = value;
  select.addEventListener("change", () => {
    setUrlParams({ [name]: select.value === defaultValue ? null : select.value });
    refreshSoon();
  });
}
byId("csv").addEventListener("click", () =>
  saveCsv("verification", Object.keys(leadScores[0] ?? { version: 1 }), leadScores),
);

async function refresh() {
  const query = { days: byId("days").value, station_id: byId("station").value };
  const [models, byLead, byDay, total, stations] = await Promise.all([
    get("/models"),
    get("/verification", { ...query, by: "lead" }),
    get("/verification", { ...query, by: "day", variable }),
    get("/verification", { ...query, by: "all" }),
    get("/stations"),
  ]);
  renderStationFilter(stations.stations);
  showSources(stations.stations.map((row) => row.source));
  leadScores = byLead.scores;
  const serving = stations.stations.map((row) => row.ahead).find((ahead) => ahead?.method === "model")?.model_version;
  const champion =
    models.versions.find((model) => model.kind === "forecaster" && model.aliases.includes("champion"))?.version ??
    serving;
  renderSummary(total.scores, champion);
  setText(
    byId("lead-note"),
    byLead.verified_through ? `verified through ${formatDateTime(byLead.verified_through)} UTC` : "not verified yet",
  );
  const variableScores = byLead.scores.filter((score) => score.variable === variable);
  renderErrorByLead(variableScores, champion);
  renderCoverage(variableScores, champion);
  renderGuidanceSkill(byLead.guidance, variable, champion, leadAxis(), CHART_MARGIN);
  renderErrorByDay(byDay.scores, champion);
  renderVersions(models.versions);
  renderPromotions(models.promotions);
  renderDrift(models.drift, champion);
}

function renderStationFilter(stations) {
  const select = byId("station");
  const content = JSON.stringify(stations.map((row) => row.station.station_id));
  if (select.content === content) return;
  select.content = content;
  const selected = select.value;
  select.replaceChildren(
    h("option", { value: "" }, "All"),
    ...stations.map((row) => h("option", { value: row.station.station_id }, row.station.name)),
  );
  select.value = selected;
}

/** The live scores of the champion, else its hindcast scores, else all scores. */
function preferredScores(scores, champion) {
  const ofChampion = scores.filter((score) => score.version === champion);
  const live = ofChampion.filter((score) => !score.hindcast);
  if (live.length) return live;
  return ofChampion.length ? ofChampion : scores;
}

function renderSummary(scores, champion) {
  const tiles = VARIABLES.map((name) => {
    const label = VARIABLE_LABELS[name];
    const candidates = preferredScores(
      scores.filter((score) => score.variable === name),
      champion,
    );
    const score = candidates.sort((a, b) => b.n - a.n)[0];
    if (!score) return { label, figure: "–", note: "not verified yet" };
    return { label, ...scoreTile(name, score, true) };
  });
  renderList(
    byId("summary"),
    tiles,
    (tile) => tile.label,
    ({ label, figure, suffix, note, className }) =>
      summaryTile(label, [figure, suffix ? h("small", {}, suffix) : ""], note, className),
  );
}

/** Scores of one version, live and hindcast separately: Map from series key to scores. */
function seriesOf(scores) {
  const series = new Map();
  for (const score of scores) {
    const key = `${score.version}|${score.hindcast}`;
    series.set(key, [...(series.get(key) ?? []), score]);
  }
  return series;
}

const seriesName = ({ version, hindcast }, champion) =>
  `version ${version}${version === champion ? ", champion" : ""}${hindcast ? ", hindcast" : ""}`;

const toDifference = (value) => (value === null ? null : displayUnit(variable).convertDifference(value));

/** Mean absolute error of each version over a field of the scores (`lead` or `day`). */
function errorTraces(scores, field, champion) {
  const { series1, series2, series3, series4 } = palette();
  const colors = [series1, series2, series3, series4];
  return [...seriesOf(scores).values()].map((series, index) => ({
    x: series.map((score) => score[field]),
    y: series.map((score) => toDifference(score.mae)),
    mode: "lines+markers",
    marker: { size: 5 },
    name: seriesName(series[0], champion),
    line: { color: colors[index % 4], width: 2.5 },
    hovertemplate: `%{y:.2f} ${displayUnit(variable).unit}`,
  }));
}

const leadAxis = () =>
  axis({
    title: { text: "Lead (hours)", font: { color: palette().mutedText, size: 12 } },
    dtick: 3,
    range: [0.5, 24.5],
  });

/** Scores by lead of the champion, else of the first version. */
function mainSeries(scores, champion) {
  const series = seriesOf(scores);
  return series.get(`${champion}|false`) ?? series.get(`${champion}|true`) ?? [...series.values()][0] ?? [];
}

function renderErrorByLead(scores, champion) {
  const { unit } = displayUnit(variable);
  const main = mainSeries(scores, champion);
  const baselines = main.length
    ? [
        ["mae_damped", "damped anomaly", "5px 3px"],
        ["mae_persistence", "persistence", "2px 3px"],
      ].map(([field, name, dash]) => ({
        x: main.map((score) => score.lead),
        y: main.map((score) => toDifference(score[field])),
        mode: "lines",
        name,
        line: { color: palette().neutral, width: 2, dash },
        hovertemplate: `%{y:.2f} ${unit}`,
      }))
    : [];
  plot(
    byId("by-lead"),
    [...errorTraces(scores, "lead", champion), ...baselines],
    layout({
      height: 330,
      xaxis: leadAxis(),
      yaxis: axis({ rangemode: "tozero", ticksuffix: ` ${unit}` }),
      margin: CHART_MARGIN,
    }),
    `error by lead, ${variable}`,
    NOT_VERIFIED,
  );
}

function renderCoverage(scores, champion) {
  const { series1, series2 } = palette();
  const intervals = [
    { field: "coverage_90", level: 90, color: series1 },
    { field: "coverage_80", level: 80, color: series2 },
  ];
  const main = mainSeries(scores, champion);
  const traces = intervals.map(({ field, level, color }) => {
    const known = main.filter((score) => score[field] !== null);
    return {
      x: known.map((score) => score.lead),
      y: known.map((score) => score[field] * 100),
      mode: "lines+markers",
      marker: { size: 5 },
      name: `${level} % interval`,
      line: { color, width: 2.5 },
      hovertemplate: "%{y:.1f} %",
    };
  });
  const nominalLines = intervals.map(({ level, color }) => ({
    type: "line",
    x0: 0,
    x1: 1,
    xref: "paper",
    y0: level,
    y1: level,
    line: { color, width: 1, dash: "4px 4px" },
  }));
  plot(
    byId("coverage"),
    traces,
    layout({
      height: 330,
      xaxis: leadAxis(),
      yaxis: axis({ ticksuffix: " %", range: [50, 101] }),
      shapes: nominalLines,
      margin: CHART_MARGIN,
      showlegend: true,
    }),
    `coverage, ${variable}`,
    NOT_VERIFIED,
  );
}

function renderErrorByDay(scores, champion) {
  const dayCount = new Set(scores.map((score) => score.day)).size;
  plot(
    byId("by-day"),
    errorTraces(scores, "day", champion),
    layout({
      height: 260,
      xaxis: axis({
        type: "date",
        tickformat: "%-d %b",
        dtick: dayCount < 15 ? 86400e3 : undefined,
        ticklabelstandoff: 8, // keeps the first date off the zero of the y axis in narrow windows
      }),
      yaxis: axis({ rangemode: "tozero", ticksuffix: ` ${displayUnit(variable).unit}` }),
      margin: { ...CHART_MARGIN, b: 38 },
      showlegend: true,
    }),
    `error by day, ${variable}`,
    NOT_VERIFIED,
  );
}

function renderVersions(versions) {
  if (versions.length)
    renderList(
      byId("versions"),
      versions.map((model) => ({ ...model, times: getPreference("time") })),
      (model) => `${model.kind} ${model.version}`,
      versionRow,
    );
  else {
    const text = "No models yet. Run the DAG train_models to train the first one.";
    byId("versions").replaceChildren(h("tr", {}, h("td", { colspan: 5, class: "empty" }, text)));
  }
}

function versionRow(model) {
  const formatNumber = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const metrics = Object.entries(model.metrics).map(
    ([name, value]) => `${name.replaceAll("_", " ")} ${formatNumber(value)}`,
  );
  const params = Object.entries(model.params).map(([name, value]) => `${name} ${value}`);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, MODEL_LABELS[model.kind] ?? model.kind),
    h("td", {}, model.version),
    h(
      "td",
      {},
      ...model.aliases.map((alias) => h("span", { class: alias === "champion" ? "tag good" : "tag" }, alias)),
      model.quarantined ? h("span", { class: "tag bad", title: model.quarantined }, "quarantined") : null,
    ),
    h("td", {}, `${formatDateTime(model.created_at)} UTC`),
    h(
      "td",
      { class: "wrap" },
      h(
        "details",
        {},
        h("summary", {}, metrics.slice(0, 4).join(", ") || "none"),
        h("small", { class: "muted" }, [...metrics.slice(4), ...params, model.tags.data_new].filter(Boolean).join(", ")),
        model.mlflow_url ? mlflowLink(model.mlflow_url) : null,
      ),
    ),
  );
}

/** The address is the text, because Airflow's frame of this page opens no links to other servers: it can be copied. */
function mlflowLink(url) {
  const link = h("a", { href: url, target: "_blank", rel: "noopener" }, url);
  const command = h("code", {}, "weatherglass models ui");
  return h("p", {}, h("small", { class: "muted" }, "MLflow run, after ", command, ": ", link));
}

function renderPromotions(promotions) {
  if (promotions.length)
    renderList(
      byId("promotions"),
      promotions.map((promotion) => ({ ...promotion, times: getPreference("time") })),
      (promotion) => promotion.at + promotion.kind + promotion.action,
      promotionItem,
    );
  else byId("promotions").replaceChildren(h("li", { class: "empty" }, "No promotions yet. The first training adds the first one."));
}

function promotionItem(promotion) {
  const model = MODEL_LABELS[promotion.kind] ?? promotion.kind;
  const version = promotion.to_version ?? promotion.from_version ?? "";
  const replaced =
    promotion.from_version && promotion.to_version ? `, replacing version ${promotion.from_version}` : "";
  return h(
    "li",
    {},
    h(
      "div",
      { class: "row" },
      h("strong", {}, `${model} ${version} ${ACTION_LABELS[promotion.action] ?? promotion.action}`),
      h("span", { class: "muted" }, `${formatDateTime(promotion.at)} UTC`),
    ),
    h("p", { class: "reason" }, promotion.reason),
    h("p", { class: "muted" }, `by ${promotion.changed_by}${replaced}`),
  );
}

function renderDrift(drift, champion) {
  const { series1, warn, bad } = palette();
  const ofChampion = drift.filter((row) => row.version === champion);
  const rows = (ofChampion.length ? ofChampion : drift).slice(0, MAX_DRIFT_FEATURES).reverse();
  setText(byId("drift-note"), rows.length ? `version ${rows[0].version}, ${rows[0].day}` : "");
  const color = (row) => (row.psi > row.psi_limit ? bad : row.psi > row.psi_limit / 2 ? warn : series1);
  plot(
    byId("drift"),
    [
      {
        type: "bar",
        orientation: "h",
        y: rows.map((row) => row.feature.replaceAll("_", " ")),
        x: rows.map((row) => row.psi),
        marker: { color: rows.map(color) },
        customdata: rows.map((row) => row.psi_limit),
        hovertemplate: "PSI %{x:.3f} (limit %{customdata:.3f})<extra></extra>",
      },
    ],
    layout({
      height: 300,
      hovermode: "closest",
      yaxis: axis({ type: "category" }),
      xaxis: axis({
        rangemode: "tozero",
        title: { text: "Population stability index (PSI); red: above the limit", font: { size: 12 } },
      }),
      margin: { l: 52, r: 18, t: 8, b: 44 },
    }),
    "drift",
    "Drift has not been measured yet. The hourly verification measures it once there are 200 observed hours.",
  );
}

const refreshSoon = startPage(refresh);
