// A flagged reading in a list: where, when, why, and what a person says of it.
import { post } from "./api.js";
import { h } from "./dom.js";
import { stationLink, toast } from "./shell.js";
import { checkName, dayTime, zoneName } from "./units.js";

const SAID = { confirmed: "confirmed", false_alarm: "false alarm" };

/** `station` (name, timezone) may be unknown; judged() is called after a verdict; `acts`: with buttons to give one. */
export function flagItem(flag, station, { acts = true, named = true, fresh = false, judged = () => {} } = {}) {
  const words = flag.reasons.length ? flag.reasons.join("; ") : flag.kinds.map(checkName).join(", ");
  return h(
    "li",
    { class: fresh ? "new" : null, "data-flag": flag.id },
    h(
      "div",
      { class: "row" },
      named
        ? h("a", { href: stationLink(flag.station_id) }, station?.name ?? flag.station_id)
        : h("strong", {}, dayTime(flag.timestamp, station?.timezone)),
      h(
        "span",
        { class: "muted" },
        named
          ? `${dayTime(flag.timestamp, station?.timezone)} ${zoneName(station?.timezone)}`
          : `score ${flag.score.toFixed(2)}`,
      ),
    ),
    h("p", { class: "why" }, words),
    h(
      "div",
      { class: "acts" },
      ...flag.kinds.map((kind) => h("span", { class: "tag bad" }, checkName(kind))),
      named && acts ? h("span", { class: "muted" }, `score ${flag.score.toFixed(2)}`) : null,
      ...(acts ? verdict(flag, judged) : flag.verdict ? [said(flag)] : []),
    ),
  );
}

const said = (flag) =>
  h(
    "span",
    {
      class: flag.verdict.verdict === "confirmed" ? "tag warn" : "tag good",
      title: `${flag.verdict.by}, ${dayTime(flag.verdict.at)}`,
    },
    SAID[flag.verdict.verdict],
  );

function verdict(flag, judged) {
  const give = (value) => async (event) => {
    const buttons = event.target.parentElement.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    try {
      judged(await post(`/anomalies/${flag.id}/verdict`, { verdict: value }));
    } catch (error) {
      toast("Not stored", error.message, null, true);
      for (const button of buttons) button.disabled = false;
    }
  };
  const button = (value, label) =>
    h(
      "button",
      { type: "button", "aria-pressed": String(flag.verdict?.verdict === value), onclick: give(value) },
      label,
    );
  return [
    ...(flag.verdict ? [said(flag), h("span", { class: "muted" }, `by ${flag.verdict.by}`)] : []),
    flag.verdict?.verdict === "confirmed" ? null : button("confirmed", "Confirm"),
    flag.verdict?.verdict === "false_alarm" ? null : button("false_alarm", "False alarm"),
  ];
}
