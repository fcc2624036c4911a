// List item of an anomaly event: station, time, number of readings, reasons, and buttons to give a verdict.
import { post } from "./api.js";
import { h } from "./dom.js";
import { showToast, stationUrl } from "./shell.js";
import { checkLabel, displayZoneName, formatDateTime } from "./units.js";

const VERDICT_LABELS = { confirmed: "confirmed", false_alarm: "false alarm" };

/**
 * station: {name, timezone}, may be undefined. Options: since: of the list of events; withVerdict: show the verdict buttons; withStation: show the
 * station's name; isNew: highlight the item; onVerdict(event): called after a verdict has been saved.
 */
export function anomalyItem(
  event,
  station,
  { since = null, withVerdict = true, withStation = true, isNew = false, onVerdict = () => {} } = {},
) {
  const reasons = event.reasons.length ? event.reasons.join("; ") : event.kinds.map(checkLabel).join(", ");
  const time = formatPeriod(event, station?.timezone);
  const score = `score ${event.score.toFixed(2)}`;
  return h(
    "li",
    { class: isNew ? "new" : null, "data-anomaly": event.id },
    h(
      "div",
      { class: "row" },
      withStation
        ? h("a", { href: stationUrl(event.station_id) }, station?.name ?? event.station_id)
        : h("strong", {}, time),
      h("span", { class: "muted" }, withStation ? `${time}${event.readings === 1 ? "" : ","} ${displayZoneName(station?.timezone)}` : score),
    ),
    h("p", { class: "reason" }, reasons),
    h(
      "div",
      { class: "actions" },
      ...event.kinds.map((kind) => h("span", { class: "tag bad" }, checkLabel(kind))),
      withStation && withVerdict ? h("span", { class: "muted" }, score) : null,
      ...(withVerdict ? verdictControls(event, since, onVerdict) : event.verdict ? [verdictTag(event)] : []),
    ),
  );
}

/** Onset, end and number of readings of an event; the time of a single reading. */
function formatPeriod({ onset, end, readings }, timezone) {
  const first = formatDateTime(onset, timezone);
  return readings === 1 ? first : `${first} to ${formatDateTime(end, timezone)}, ${readings} readings`;
}

const verdictTag = (event) =>
  h(
    "span",
    {
      class: event.verdict.verdict === "confirmed" ? "tag warn" : "tag good",
      title: `${event.verdict.by}, ${formatDateTime(event.verdict.at)}`,
    },
    VERDICT_LABELS[event.verdict.verdict],
  );

function verdictControls(event, since, onVerdict) {
  // Together with `since`, the period in which the server finds the same readings as those shown.
  const until = new Date(Date.parse(event.end) + 1).toISOString();
  const save = (verdict) => async ({ target }) => {
    const buttons = target.parentElement.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    try {
      onVerdict(await post(`/anomalies/events/${event.id}/verdict`, { verdict }, { since, until }));
    } catch (error) {
      showToast("Verdict not saved", error.message, { kind: "error" });
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  };
  const current = event.verdict?.verdict;
  const button = (verdict, label) =>
    h("button", { type: "button", "aria-pressed": String(current === verdict), onclick: save(verdict) }, label);
  return [
    ...(event.verdict ? [verdictTag(event), h("span", { class: "muted" }, `by ${event.verdict.by}`)] : []),
    current === "confirmed" ? null : button("confirmed", "Confirm"),
    current === "false_alarm" ? null : button("false_alarm", "False alarm"),
  ];
}
