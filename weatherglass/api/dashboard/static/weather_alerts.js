// The page Weather alerts: open and ended alerts, the rules, and a form for a new rule.
import { get, remove } from "./api.js";
import { showBacktest } from "./backtest.js";
import { byId, h, renderList, setText } from "./dom.js";
import { getPreference } from "./preferences.js";
import { initRuleForm, showStations } from "./rule_form.js";
import { showSources, showToast, startPage } from "./shell.js";
import { formatRule, weatherAlertItem } from "./weather_alert_item.js";

const RULES = "/weather-alerts/rules";
const MAX_ENDED = 50;
const REASONS = {
  no_forecast: "no current forecast",
  no_reading: "no reading",
  no_observation: "observation missing or flagged",
  unreadable: "stored record unreadable",
};
let stationsById = new Map();

const stationName = (id) => stationsById.get(id)?.name ?? id;

async function refresh() {
  const [stations, rules, open, ended] = await Promise.all([
    get("/stations"),
    get(RULES),
    get("/weather-alerts", { open: true, limit: 500 }),
    get("/weather-alerts", { open: false, limit: MAX_ENDED }),
  ]);
  stationsById = new Map(stations.stations.map((row) => [row.station.station_id, row.station]));
  showSources(stations.stations.map((row) => row.source));
  showStations(stations.stations.map((row) => row.station));
  const more = open.next_cursor ? "more than " : "";
  setText(byId("summary"), `${more}${open.alerts.length} open, ${rules.rules.length} ${rules.rules.length === 1 ? "rule" : "rules"}`);
  renderAlerts("open", open.alerts, rules.rules.length ? "No open weather alerts." : "There are no rules yet. Add one below.");
  renderAlerts("ended", ended.alerts, "");
  byId("ended-alerts").hidden = !ended.alerts.length;
  setText(byId("ended-count"), ended.next_cursor ? `Last ${MAX_ENDED} ended alerts` : `Ended alerts (${ended.alerts.length})`);
  renderRules(rules);
}

function renderAlerts(id, alerts, emptyText) {
  const items = alerts.map((alert) => ({ alert, station: stationsById.get(alert.station_id), times: getPreference("time") }));
  if (items.length) renderList(byId(id), items, ({ alert }) => alert.id, ({ alert, station }) => weatherAlertItem(alert, station));
  else byId(id).replaceChildren(h("li", { class: "empty" }, emptyText));
}

function renderRules({ rules, unreadable }) {
  const rows = [
    ...rules.map((item) => ({ ...item, evaluated_at: null })),
    ...unreadable.map((id) => ({ id, rule: null })),
  ];
  if (rows.length) renderList(byId("rules"), rows, (item) => item.id, ruleRow);
  else byId("rules").replaceChildren(h("tr", {}, h("td", { colspan: 7, class: "empty" }, "No rules.")));
}

function ruleRow({ id, rule, created_by: user, not_evaluated: notEvaluated = {} }) {
  const name = rule?.name ?? `Rule ${id}`;
  const deleteButton = h("button", { type: "button", "aria-label": `Delete: ${name}`, onclick: () => deleteRule(id) }, "Delete");
  if (!rule)
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", { colspan: 5 }, "cannot be read by this version"), h("td", {}, deleteButton));
  const quiet = rule.quiet_hours;
  const problems = Object.entries(notEvaluated).map(([station, reason]) => `${stationName(station)}: ${REASONS[reason]}`);
  return h(
    "tr",
    { "data-rule": id },
    h("th", { scope: "row" }, name),
    h("td", { class: "wrap" }, formatRule(rule)),
    h("td", { class: "short" }, rule.stations === null ? "All" : shorten(rule.stations.map(stationName))),
    h("td", { class: "short" }, quiet ? `${quiet.start} to ${quiet.end}, ${quiet.time_zone}` : "–"),
    h("td", { class: "short", title: problems.join("; ") || null }, problems.length ? h("span", { class: "doubt" }, shorten(problems, 1)) : "–"),
    h("td", {}, user),
    h(
      "td",
      {},
      h(
        "span",
        { class: "controls" },
        rule.kind === "forecast"
          ? h("button", { type: "button", "aria-label": `Back-test: ${name}`, onclick: () => tryRule(rule) }, "Back-test")
          : null,
        deleteButton,
      ),
    ),
  );
}

async function tryRule(rule) {
  try {
    await showBacktest(rule, stationsById);
  } catch (error) {
    showToast("No back-test", error.message, { kind: "error" });
  }
}

/** The first texts, and how many more there are. */
function shorten(texts, count = 5) {
  const more = texts.length > count ? ` and ${texts.length - count} more` : "";
  return texts.slice(0, count).join(", ") + more;
}

async function deleteRule(id) {
  try {
    await remove(`${RULES}/${id}`);
    refreshSoon();
  } catch (error) {
    showToast("Rule not deleted", error.message, { kind: "error" });
  }
}

initRuleForm(
  () => refreshSoon(),
  (rule) => showBacktest(rule, stationsById),
);
const refreshSoon = startPage(refresh);
