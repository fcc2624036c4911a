// List item of an anomaly: station, time, reasons, and buttons to give a verdict.
import { post } from "./api.js";
import { h } from "./dom.js";
import { showToast, stationUrl } from "./shell.js";
import { checkLabel, displayZoneName, formatDateTime } from "./units.js";

const VERDICT_LABELS = { confirmed: "confirmed", false_alarm: "false alarm" };

/**
 * station: {name, timezone}, may be undefined. Options: withVerdict: show the verdict buttons; withStation: show the
 * station's name; isNew: highlight the item; onVerdict(anomaly): called after a verdict has been saved.
 */
export function anomalyItem(
  anomaly,
  station,
  { withVerdict = true, withStation = true, isNew = false, onVerdict = () => {} } = {},
) {
  const reasons = anomaly.reasons.length ? anomaly.reasons.join("; ") : anomaly.kinds.map(checkLabel).join(", ");
  const time = formatDateTime(anomaly.timestamp, station?.timezone);
  const score = `score ${anomaly.score.toFixed(2)}`;
  return h(
    "li",
    { class: isNew ? "new" : null, "data-anomaly": anomaly.id },
    h(
      "div",
      { class: "row" },
      withStation
        ? h("a", { href: stationUrl(anomaly.station_id) }, station?.name ?? anomaly.station_id)
        : h("strong", {}, time),
      h("span", { class: "muted" }, withStation ? `${time} ${displayZoneName(station?.timezone)}` : score),
    ),
    h("p", { class: "reason" }, reasons),
    h(
      "div",
      { class: "actions" },
      ...anomaly.kinds.map((kind) => h("span", { class: "tag bad" }, checkLabel(kind))),
      withStation && withVerdict ? h("span", { class: "muted" }, score) : null,
      ...(withVerdict ? verdictControls(anomaly, onVerdict) : anomaly.verdict ? [verdictTag(anomaly)] : []),
    ),
  );
}

const verdictTag = (anomaly) =>
  h(
    "span",
    {
      class: anomaly.verdict.verdict === "confirmed" ? "tag warn" : "tag good",
      title: `${anomaly.verdict.by}, ${formatDateTime(anomaly.verdict.at)}`,
    },
    VERDICT_LABELS[anomaly.verdict.verdict],
  );

function verdictControls(anomaly, onVerdict) {
  const save = (verdict) => async (event) => {
    const buttons = event.target.parentElement.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    try {
      onVerdict(await post(`/anomalies/${anomaly.id}/verdict`, { verdict }));
    } catch (error) {
      showToast("Verdict not saved", error.message, { kind: "error" });
      for (const button of buttons) button.disabled = false;
    }
  };
  const current = anomaly.verdict?.verdict;
  const button = (verdict, label) =>
    h("button", { type: "button", "aria-pressed": String(current === verdict), onclick: save(verdict) }, label);
  return [
    ...(anomaly.verdict ? [verdictTag(anomaly), h("span", { class: "muted" }, `by ${anomaly.verdict.by}`)] : []),
    current === "confirmed" ? null : button("confirmed", "Confirm"),
    current === "false_alarm" ? null : button("false_alarm", "False alarm"),
  ];
}
