// The page Compare: two versions of a model on live forecasts and on held-out hours, with the number of cases.
import { get } from "./api.js";
import { byId, h, renderList, setText } from "./dom.js";
import { getUrlParam, setUrlParams } from "./preferences.js";
import { startPage } from "./shell.js";
import { formatDateTime, formatDifference, VARIABLE_LABELS, VARIABLES } from "./units.js";

const SHOWN_LEADS = new Set([1, 6, 12, 24]);
const CASES = "cases";
/** Names of the metrics of a forecaster in the order of the rows; `coverage` is followed by a level. */
const METRICS = { skill: "skill", mae: "error", rmse: "RMSE", bias: "bias", mape: "MAPE", crps: "CRPS", coverage: "coverage" };
const CHOICES = ["kind", "first", "second"];
const form = byId("choice");

for (const name of CHOICES) {
  const value = getUrlParam(name);
  if (value) addOption(form.elements[name], value);
  if (value) form.elements[name].value = value;
}
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  // The versions of another model are other ones.
  if (event.target.name === "kind") for (const name of ["first", "second"]) form.elements[name].value = "";
  setUrlParams(Object.fromEntries(CHOICES.map((name) => [name, form.elements[name].value || null])));
  refreshSoon();
});

function addOption(select, value) {
  if (![...select.options].some((option) => option.value === value)) select.append(h("option", { value }, value));
}

async function refresh() {
  const choice = Object.fromEntries(CHOICES.map((name) => [name, form.elements[name].value]));
  const [models, verification] = await Promise.all([get("/models"), get("/verification", { days: 90, by: "all" })]);
  const versions = models.versions.filter((model) => model.kind === choice.kind).map((model) => model.version);
  for (const name of ["first", "second"]) showVersions(form.elements[name], versions);
  const comparison = versions.length < 2 ? { metrics: [], decision: null } : await get("/models/compare", choice);
  const { first, second } = comparison;
  setText(
    byId("versions"),
    first ? `First: version ${first}. Second: version ${second}.` : "There are fewer than two versions yet. Run the DAG train_models.",
  );
  renderDecision(comparison.decision);
  const compared = verification.scores.filter((score) => [first, second].includes(score.version));
  renderRows("verified", choice.kind === "forecaster" ? compared : [], verifiedRow, 5, "Nothing verified yet. Forecasts are verified once their valid times have passed.");
  renderHeldOut(comparison.metrics);
}

function showVersions(select, versions) {
  const selected = select.value;
  for (const option of select.querySelectorAll("option"))
    if (option.value && option.value !== selected && !versions.includes(option.value)) option.remove();
  for (const version of versions) addOption(select, version);
}

function renderRows(id, rows, toRow, columns, emptyText) {
  if (rows.length) renderList(byId(id), rows, (row) => JSON.stringify(row), toRow);
  else byId(id).replaceChildren(h("tr", {}, h("td", { colspan: columns, class: "empty" }, emptyText)));
}

const numbers = (texts) => texts.map((text) => h("td", { class: "num" }, text));
const percent = (fraction, digits = 0) => `${(fraction * 100).toFixed(digits)}\u00a0%`;

/** The latest test of the second version (challenger) against the first (champion). */
function renderDecision(decision) {
  setText(byId("live-note"), decision ? `${formatDateTime(decision.at)} UTC` : "");
  const { days, p_value: pValue } = decision?.details ?? {};
  const basis = days === undefined ? "" : ` ${days} days, p = ${pValue.toFixed(3)}.`;
  setText(byId("decision"), decision ? `Decision: ${decision.decision}. ${decision.reason}.${basis}` : "");
  const emptyText = "Not compared yet. The hourly verification compares a challenger (second) with the champion (first).";
  renderRows("live", decision?.details.variables ?? [], liveRow, 5, emptyText);
}

function liveRow({ variable, cases, champion_mae: first, challenger_mae: second, gain }) {
  const change = `${percent(Math.abs(gain), 1)} ${gain >= 0 ? "lower" : "higher"}`;
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, VARIABLE_LABELS[variable]),
    ...numbers([cases, formatDifference(variable, first), formatDifference(variable, second), change]),
  );
}

function verifiedRow(score) {
  const coverage = score.coverage_90 === null ? "–" : percent(score.coverage_90);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, VARIABLE_LABELS[score.variable]),
    h("td", {}, `${score.version}${score.hindcast ? ", hindcast" : ", live"}`),
    ...numbers([score.n, formatDifference(score.variable, score.mae), coverage]),
  );
}

function renderHeldOut(metrics) {
  const cases = metrics.find((metric) => metric.name === CASES);
  const rows = metrics
    .map((metric) => ({ ...metric, ...describe(metric.name), firstCases: cases?.first, secondCases: cases?.second }))
    .filter((metric) => metric.label)
    .sort((one, other) => (one.order ?? 0) - (other.order ?? 0));
  renderRows("held-out", rows, heldOutRow, 6, "There are no metrics yet. They are computed after each training.");
}

/** Label of a metric and the format of its values; no label if the page does not show it. */
function describe(name) {
  const [metric, ...parts] = name.split(".");
  const variable = parts.find((part) => VARIABLES.includes(part));
  const lead = Number(parts.at(-1)?.match(/^lead(\d+)$/)?.[1] ?? 0);
  if (name === CASES || (lead && !SHOWN_LEADS.has(lead))) return {};
  const label = VARIABLE_LABELS[variable];
  const base = metric.replace(/\d+$/, "");
  const order = Object.keys(METRICS).indexOf(base);
  const when = lead ? `${lead} h ahead` : "mean of 6 to 24 h ahead";
  if (metric === "skill") return { label: `${label}: skill against the damped anomaly`, kind: "percent", order };
  if (metric === "mae" && parts[0] !== "model") return {};
  if (base === "coverage")
    return { label: `${label}: coverage of the ${metric.slice(8)} % interval, ${when}`, kind: "percent", order };
  if (order >= 0 && label)
    return { label: `${label}: ${METRICS[base]}, ${when}`, kind: metric === "mape" ? "percentage" : variable, order };
  return { label: name.replaceAll(/[._]/g, " "), kind: "number" };
}

function heldOutRow({ label, kind, first, second, change, firstCases, secondCases }) {
  const format = (value) => {
    if (value === null) return "–";
    if (kind === "percent") return percent(value, 1);
    if (kind === "percentage") return percent(value / 100, 1);
    return kind === "number" ? value.toPrecision(3) : formatDifference(kind, value);
  };
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, label),
    ...numbers([format(first), firstCases ?? "not recorded", format(second), secondCases ?? "not recorded", format(change)]),
  );
}

const refreshSoon = startPage(refresh);
