// Texts and list items of weather alerts and their rules.
import { h } from "./dom.js";
import { sourceLabel, stationUrl } from "./shell.js";
import { checkLabel, displayZoneName, formatDateTime, formatTime, VARIABLE_LABELS } from "./units.js";

const CONDITIONS = { above: "above", below: "below", rise: "rises by more than", fall: "falls by more than" };
const END_REASONS = { cleared: "ended", expired: "expired without a newer forecast", deleted: "rule deleted" };

const percent = (fraction) => `${Math.round(fraction * 100)}\u00a0%`;
/** A probability is never shown as certain. */
export function formatProbability(probability) {
  if (probability > 0.99) return "more than 99\u00a0%";
  return probability < 0.01 ? "less than 1\u00a0%" : percent(probability);
}
const number = (value) => String(Number(value.toFixed(1))).replace("-", "−");

/** For example "Temperature below 0 °C". Thresholds are in the unit of the rule, whatever the page displays. */
export const formatCondition = ({ variable, condition, threshold, unit }) =>
  `${VARIABLE_LABELS[variable]} ${CONDITIONS[condition]} ${String(threshold).replace("-", "−")} ${unit}`;

export function formatRule(rule) {
  if (rule.kind === "fault") return `At least ${rule.min_readings} flagged readings with a score of ${rule.min_score} or more`;
  const ends = rule.end_probability === null ? "" : `, ends below ${percent(rule.end_probability)}`;
  return `${formatCondition(rule)}, ${rule.first_lead} to ${rule.last_lead} h ahead, probability ${percent(rule.probability)}${ends}`;
}

/** What the rule found: condition, most probable hour with its value and interval; or the failed checks. */
export function formatDetails(details, timezone) {
  if (details.kind === "fault") {
    const reasons = details.reasons.length ? details.reasons : details.checks.map(checkLabel);
    return `${reasons.join("; ")} (${details.readings} flagged readings, score ${details.score.toFixed(2)})`;
  }
  const { value, lower, upper, interval_level: level, unit } = details;
  const interval = `${percent(level)} interval ${number(lower)}\u2009…\u2009${number(upper)}`;
  const first = details.first_time ? `, first at ${formatTime(details.first_time, timezone)}` : "";
  return (
    `${formatCondition(details)}: ${formatProbability(details.probability)} at ${formatDateTime(details.valid_time, timezone)} ` +
    `${displayZoneName(timezone)} (${number(value)} ${unit}, ${interval})${first}`
  );
}

/** List item of an alert. station: {name, timezone}, may be undefined. */
export function weatherAlertItem(alert, station) {
  const { source } = alert.details;
  const period = alert.ended_at
    ? `${formatDateTime(alert.since, station?.timezone)} to ${formatDateTime(alert.ended_at, station?.timezone)}`
    : `since ${formatDateTime(alert.since, station?.timezone)}`;
  return h(
    "li",
    { "data-weather-alert": alert.id },
    h(
      "div",
      { class: "row" },
      h("a", { href: stationUrl(alert.station_id) }, station?.name ?? alert.station_id),
      h("span", { class: "muted" }, `${period} ${displayZoneName(station?.timezone)}`),
    ),
    h("p", { class: "reason" }, formatDetails(alert.details, station?.timezone)),
    h(
      "div",
      { class: "actions" },
      h("span", { class: alert.ended_at ? "tag" : "tag warn" }, alert.rule_name),
      alert.end_reason ? h("span", { class: "muted" }, END_REASONS[alert.end_reason]) : null,
      source ? h("span", { class: "muted" }, sourceLabel(source).toLowerCase()) : null,
    ),
  );
}

/** Open weather alerts by station id. */
export function byStation(alerts) {
  const found = new Map();
  for (const alert of alerts) found.set(alert.station_id, [...(found.get(alert.station_id) ?? []), alert]);
  return found;
}
