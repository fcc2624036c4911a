// The back-test of a weather alert rule: what it would have done with the stored forecasts.
import { post } from "./api.js";
import { byId, h, renderList, setText, summaryTile } from "./dom.js";
import { stationUrl } from "./shell.js";
import { displayZoneName, formatDateTime } from "./units.js";
import { formatProbability, formatRule } from "./weather_alert_item.js";

const VERDICTS = [
  [true, "right", "tag good"],
  [false, "wrong", "tag bad"],
  [null, "not known", "tag"],
];

/** Request the back-test of a rule and show it. stationsById: Map of {name, timezone}. Throws an ApiError. */
export async function showBacktest(rule, stationsById) {
  const days = byId("backtest-days").value;
  const result = await post("/weather-alerts/backtest", rule, { days });
  byId("backtest").hidden = false;
  setText(byId("backtest-rule"), `${rule.name}: ${formatRule(rule)}`);
  const skipped = result.not_evaluated ? `; ${result.not_evaluated} could not be evaluated` : "";
  const tiles = [
    ["Alerts", result.fired, `in ${days} days, ${result.stations} stations, ${result.forecasts} forecasts${skipped}`],
    ["Hits", result.right, "the condition was observed"],
    ["False alarms", result.wrong, "the condition was not observed"],
    ["Undetermined", result.unknown, "still to come, or too few observations"],
    ["Missed", `${result.missed} of ${result.occurrences}`, "occurrences without an alert"],
  ];
  renderList(byId("backtest-summary"), tiles, ([label]) => label, ([label, figure, note]) => summaryTile(label, figure, note));
  const rows = result.alerts.map((alert) => ({ alert, station: stationsById.get(alert.station_id) }));
  if (rows.length) renderList(byId("backtest-alerts"), rows, ({ alert }) => alert.station_id + alert.since, alertRow);
  else byId("backtest-alerts").replaceChildren(h("tr", {}, h("td", { colspan: 6, class: "empty" }, "The rule would have raised no alert.")));
  byId("backtest").scrollIntoView({ block: "nearest" });
}

function alertRow({ alert, station }) {
  const [, label, className] = VERDICTS.find(([value]) => value === alert.was_right);
  const time = (text) => (text ? `${formatDateTime(text, station?.timezone)} ${displayZoneName(station?.timezone)}` : "–");
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("a", { href: stationUrl(alert.station_id) }, station?.name ?? alert.station_id)),
    h("td", {}, time(alert.since)),
    h("td", {}, time(alert.until)),
    h("td", { class: "num" }, formatProbability(alert.probability)),
    h("td", {}, h("span", { class: className }, label)),
    h("td", {}, time(alert.first_met)),
  );
}
