// Open and resolved alerts, with buttons to acknowledge and silence them.
import { get, getAll, post } from "./api.js";
import { byId, h, renderList, setText } from "./dom.js";
import { showToast } from "./shell.js";
import { alertTitle, formatDateTime } from "./units.js";

const SILENCE_HOURS = [
  [1, "1 hour"],
  [8, "8 hours"],
  [24, "1 day"],
  [168, "7 days"],
];
const MAX_RESOLVED = 30;
let openAlerts = [];
let linkedAlert = location.hash.startsWith("#alert-") ? location.hash.slice(1) : null;

/** Request the alerts and render them. */
export async function refreshAlerts() {
  const [open, resolved] = await Promise.all([
    getOpenAlerts(),
    get("/alerts", { open: false, limit: MAX_RESOLVED }),
  ]);
  openAlerts = open;
  renderOpenAlerts();
  focusLinkedAlert();
  byId("resolved-alerts").hidden = !resolved.alerts.length;
  setText(
    byId("resolved-count"),
    resolved.next_cursor ? `Last ${MAX_RESOLVED} resolved alerts` : `Resolved alerts (${resolved.alerts.length})`,
  );
  renderList(byId("resolved"), resolved.alerts, (alert) => alert.id, resolvedItem);
}

/** All open alerts, critical ones first, then the newest. */
async function getOpenAlerts() {
  const alerts = await getAll("/alerts", "alerts", { open: true });
  return alerts.sort((one, other) => (other.severity === "critical") - (one.severity === "critical"));
}

function renderOpenAlerts() {
  setText(byId("alerts-note"), openAlerts.length ? `${openAlerts.length} open` : "");
  // Values that change with every evaluation are omitted; an update would reset the silence menu while it is in use.
  if (openAlerts.length)
    renderList(
      byId("alerts"),
      openAlerts.map((alert) => ({ ...alert, seen_at: null, details: { ...alert.details, value: null } })),
      (alert) => alert.id,
      openItem,
    );
  else byId("alerts").replaceChildren(h("li", { class: "empty" }, "No open alerts."));
}

/** Go once to the alert of the page's address, which the browser cannot find before it is rendered. */
function focusLinkedAlert() {
  if (linkedAlert) byId(linkedAlert)?.focus();
  linkedAlert = null;
}

const runbookPath = (alert) => `docs/troubleshooting.md#${alert.rule.replaceAll("_", "-")}`;
const isWebUrl = (url) => typeof url === "string" && /^https?:/.test(url);

function openItem(alert) {
  const { summary, impact, unaffected, runbook, page, log } = alert.details;
  const detail = (label, text) => (text ? [h("dt", {}, label), h("dd", {}, text)] : []);
  const link = (label, url) => (isWebUrl(url) ? h("a", { href: url, target: "_top" }, label) : null);
  return h(
    "li",
    { tabindex: -1, id: `alert-${alert.id}` },
    h(
      "div",
      { class: "row" },
      h("strong", {}, alertTitle(alert)),
      h("span", { class: alert.severity === "critical" ? "tag bad" : "tag warn" }, alert.severity),
    ),
    h("p", {}, summary ?? alert.message),
    summary
      ? h(
          "dl",
          { class: "details" },
          ...detail("Impact", impact),
          ...detail("Unaffected", unaffected),
          ...detail("What to do", runbook),
        )
      : null,
    h(
      "div",
      { class: "actions" },
      h("span", { class: "muted" }, `since ${formatDateTime(alert.since)} UTC`),
      link("Page", page?.endsWith("/system") ? null : page),
      link("Task log", log),
      h("span", { class: "muted" }, runbookPath(alert)),
      alert.acknowledged_by
        ? h("span", { class: "tag good" }, `acknowledged by ${alert.acknowledged_by}`)
        : actionButton(alert, "Acknowledge", "acknowledge", () => ({})),
      ...silenceControls(alert),
    ),
  );
}

function silenceControls(alert) {
  if (alert.silenced_until && Date.parse(alert.silenced_until) > Date.now()) {
    return [
      h("span", { class: "tag" }, `silenced until ${formatDateTime(alert.silenced_until)} UTC`),
      actionButton(alert, "End silence", "silence", () => ({ hours: 0 })),
    ];
  }
  const hours = h("select", {}, ...SILENCE_HOURS.map(([value, label]) => h("option", { value }, label)));
  return [
    h("label", { class: "field" }, "Silence for ", hours),
    actionButton(alert, "Silence", "silence", () => ({ hours: Number(hours.value) })),
  ];
}

function actionButton(alert, label, action, body) {
  return h(
    "button",
    {
      type: "button",
      "aria-label": `${label}: ${alertTitle(alert)}`,
      onclick: async () => {
        try {
          const updated = await post(`/alerts/${alert.id}/${action}`, body());
          openAlerts = openAlerts.map((other) => (other.id === updated.id ? updated : other));
          renderOpenAlerts();
          byId("alerts").querySelector(`[data-key="${updated.id}"]`)?.focus();
        } catch (error) {
          showToast("Alert not changed", error.message, { kind: "error" });
        }
      },
    },
    label,
  );
}

function resolvedItem(alert) {
  return h(
    "li",
    {},
    h(
      "div",
      { class: "row" },
      h("strong", {}, alertTitle(alert)),
      h("span", { class: "muted" }, `${formatDateTime(alert.since)} to ${formatDateTime(alert.resolved_at)} UTC`),
    ),
    h("p", { class: "reason" }, alert.details.summary ?? alert.message),
    alert.acknowledged_by ? h("p", { class: "muted" }, `acknowledged by ${alert.acknowledged_by}`) : null,
  );
}
