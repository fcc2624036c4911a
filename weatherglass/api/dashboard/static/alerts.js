// Alerts: what is wrong, what it means, what still works, what to do; and a person's word that it is seen to.
import { get, post } from "./api.js";
import { by, h, keyed, say } from "./dom.js";
import { toast } from "./shell.js";
import { dayTime } from "./units.js";

const QUIET = [
  [1, "1 hour"],
  [8, "8 hours"],
  [24, "1 day"],
  [168, "7 days"],
];
const PAST = 30;
let open = [];

/** Ask for the alerts and show them, the open ones first. */
export async function showAlerts() {
  const [now, past] = await Promise.all([
    get("/alerts", { open: true, limit: 100 }),
    get("/alerts", { open: false, limit: PAST }),
  ]);
  open = now.alerts;
  list();
  by("past-alerts").hidden = !past.alerts.length;
  say(by("past-count"), past.next_cursor ? `The last ${PAST} past alerts` : `Past alerts (${past.alerts.length})`);
  keyed(by("past"), past.alerts, (alert) => alert.id, pastItem);
}

function list() {
  say(by("alerts-note"), open.length ? `${open.length} open` : "");
  // What changes at every look of the watcher is left out: a choice being made would be lost.
  if (open.length)
    keyed(
      by("alerts"),
      open.map((alert) => ({ ...alert, seen_at: null, figures: { ...alert.figures, value: null } })),
      (alert) => alert.id,
      openItem,
    );
  else by("alerts").replaceChildren(h("li", { class: "nothing" }, "Nothing is wrong now."));
}

const named = (alert) => `${alert.rule.replaceAll("_", " ")}: ${alert.subject}`;
const runbook = (alert) => `docs/troubleshooting.md#${alert.rule.replaceAll("_", "-")}`;
const web = (link) => typeof link === "string" && /^https?:/.test(link);

function openItem(alert) {
  const { said, means, still_works: works, to_do: doing, page, log } = alert.figures;
  const part = (name, words) => (words ? [h("dt", {}, name), h("dd", {}, words)] : []);
  const link = (words, target) => (web(target) ? h("a", { href: target, target: "_top" }, words) : null);
  return h(
    "li",
    { tabindex: -1 },
    h(
      "div",
      { class: "row" },
      h("strong", {}, named(alert)),
      h("span", { class: alert.severity === "critical" ? "tag bad" : "tag warn" }, alert.severity),
    ),
    h("p", {}, said ?? alert.words),
    said
      ? h("dl", { class: "told" }, ...part("Means", means), ...part("Still works", works), ...part("To do", doing))
      : null,
    h(
      "div",
      { class: "acts" },
      h("span", { class: "muted" }, `since ${dayTime(alert.since)} UTC`),
      link("Page", page?.endsWith("/system") ? null : page),
      link("Task log", log),
      h("span", { class: "muted" }, runbook(alert)),
      alert.acknowledged_by
        ? h("span", { class: "tag good" }, `acknowledged by ${alert.acknowledged_by}`)
        : button(alert, "Acknowledge", "acknowledge", () => ({})),
      ...silencing(alert),
    ),
  );
}

function silencing(alert) {
  if (alert.silenced_until && Date.parse(alert.silenced_until) > Date.now()) {
    return [
      h("span", { class: "tag" }, `silent until ${dayTime(alert.silenced_until)} UTC`),
      button(alert, "End the silence", "silence", () => ({ hours: 0 })),
    ];
  }
  const hours = h("select", {}, ...QUIET.map(([value, label]) => h("option", { value }, label)));
  return [
    h("label", { class: "pick" }, "Silence for ", hours),
    button(alert, "Silence", "silence", () => ({ hours: Number(hours.value) })),
  ];
}

function button(alert, label, act, body) {
  return h(
    "button",
    {
      type: "button",
      "aria-label": `${label}: ${named(alert)}`,
      onclick: async () => {
        try {
          const answer = await post(`/alerts/${alert.id}/${act}`, body());
          open = open.map((one) => (one.id === answer.id ? answer : one));
          list();
          by("alerts").querySelector(`[data-key="${answer.id}"]`)?.focus();
        } catch (error) {
          toast("Not stored", error.message, null, true);
        }
      },
    },
    label,
  );
}

function pastItem(alert) {
  return h(
    "li",
    {},
    h(
      "div",
      { class: "row" },
      h("strong", {}, named(alert)),
      h("span", { class: "muted" }, `${dayTime(alert.since)} to ${dayTime(alert.resolved_at)} UTC`),
    ),
    h("p", { class: "why" }, alert.figures.said ?? alert.words),
    alert.acknowledged_by ? h("p", { class: "muted" }, `acknowledged by ${alert.acknowledged_by}`) : null,
  );
}
