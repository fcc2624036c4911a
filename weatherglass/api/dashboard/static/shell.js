// Common elements of all pages: preferences, clock, pipeline state, data source, notices and notifications.
import { urlFor } from "./api.js";
import { byId, h, setText } from "./dom.js";
import { getHealth, startLiveUpdates } from "./live_updates.js";
import { getPreference, setPreference } from "./preferences.js";
import { alertTitle, checkLabel, componentLabel, formatAge, formatDateTime } from "./units.js";

const LIVE_SOURCES = ["metar", "open-meteo", "own"];
const SOURCES = {
  metar: ["Measured", "Live weather measured by airports."],
  "open-meteo": ["Model", "Live weather from Open-Meteo's models."],
  replay: ["Replay", "Replay of real observations of the same date and time of an earlier year."],
  simulated: ["Simulated", "Simulated weather from a generator."],
  kaggle: ["History", "History from the Kaggle data set."],
  own: ["Own", "Live weather measured by your own stations."],
};

/** Start a page. refresh() requests and renders its data; handlers as in startLiveUpdates(). Returns refreshSoon(). */
export function startPage(refresh, handlers = {}) {
  initPreferences();
  updateClock();
  setInterval(updateClock, 1000);
  return startLiveUpdates(
    async () => {
      const [health, page] = await Promise.allSettled([getHealth(), refresh()]);
      if (health.status === "fulfilled") showPipelineState(health.value);
      for (const result of [page, health]) if (result.status === "rejected") throw result.reason;
    },
    {
      ...handlers,
      anomaly: (anomaly) => {
        announceAnomaly(anomaly);
        handlers.anomaly?.(anomaly);
      },
      alert: (alert) => {
        const title = alert.severity === "critical" ? "Critical alert" : "Alert";
        const isBad = alert.severity === "critical";
        const url = `${urlFor("/dashboard/system")}#alert-${alert.id}`;
        if (alert.open) showToast(title, alert.message, { kind: "alert", url, isBad });
        handlers.alert?.(alert);
      },
    },
    onConnectionChange,
  );
}

function updateClock() {
  const now = new Date();
  const clock = byId("clock");
  clock.dateTime = now.toISOString();
  setText(clock, `${now.toISOString().slice(11, 19)} UTC`);
}

function initPreferences() {
  const menu = byId("preferences");
  for (const name of ["temp", "wind", "time", "theme"]) {
    for (const input of menu.querySelectorAll(`input[name=${name}]`)) {
      input.checked = input.value === getPreference(name);
      input.addEventListener("change", () => setPreference(name, input.value));
    }
  }
  addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  const button = byId("notify");
  const labels = {
    default: "Notify me of anomalies",
    granted: "Notifications are enabled",
    denied: "Notifications are blocked by the browser",
  };
  const showPermission = () => {
    const permission = window.Notification?.permission;
    button.disabled = permission !== "default";
    setText(button, labels[permission] ?? "This browser does not support notifications");
  };
  button.addEventListener("click", async () => {
    await Notification.requestPermission();
    showPermission();
  });
  showPermission();
}

function showPipelineState(health) {
  const component = (name) => health.components.find((candidate) => candidate.name === name);
  const [alert] = health.alerts;
  byId("state").className = `state ${health.overall_state}`;
  byId("state").href = urlFor("/dashboard/system") + (alert ? `#alert-${alert.id}` : "");
  const sentences = [
    alert ? alertSummary(health.alerts) : "",
    componentSummary(health),
    health.overall_state === "ok" ? `Last prediction ${formatAge(component("predictions")?.age_seconds)} ago.` : "",
  ];
  setText(byId("state-text"), sentences.filter(Boolean).join(" "));
  const observations = component("observations");
  staleMessage =
    observations && observations.state !== "ok" && observations.age_seconds !== null
      ? `The data is out of date: the last observation arrived ${formatAge(observations.age_seconds)} ago.`
      : null;
  updateNotice();
}

/** The most severe alert by name, and how many more are open. */
function alertSummary([first, ...others]) {
  const label = first.severity === "critical" ? "Critical alert" : "Open alert";
  const more = others.length ? ` (and ${others.length} more ${others.length === 1 ? "alert" : "alerts"})` : "";
  return `${label}: ${alertTitle(first)}${more}.`;
}

function componentSummary({ state, components }) {
  const faulty = components.filter((component) => component.state !== "ok");
  if (!faulty.length) return `All ${components.length} components are healthy.`;
  const summary = state === "failing" ? "The pipeline is failing" : "The pipeline is degraded";
  const more = faulty.length > 1 ? ` (and ${faulty.length - 1} more)` : "";
  return `${summary}. ${componentLabel(faulty[0].name)}: ${faulty[0].detail}${more}`;
}

let staleMessage = null;
let offlineMessage = null;
let offlineSince = null;

function updateNotice() {
  const box = byId("notice");
  const text = offlineMessage ?? staleMessage;
  box.classList.toggle("bad", offlineMessage !== null);
  box.hidden = text === null;
  setText(box, text ?? "");
}

function onConnectionChange(isConnected, error) {
  if (isConnected) {
    offlineMessage = null;
    offlineSince = null;
    showToast("Reconnected", "The page is up to date.", { kind: "reconnected" });
  } else if (error.status === 401) {
    offlineMessage = "You are logged out. Reload the page to log in again.";
  } else {
    offlineSince ??= new Date();
    const reason = error.status ? `The API returned an error: ${error.message}` : "The API cannot be reached.";
    offlineMessage = `${reason} The page shows data from before ${offlineSince.toISOString().slice(11, 19)} UTC and retries automatically.`;
  }
  updateNotice();
}

export const sourceLabel = (source) => SOURCES[source]?.[0] ?? "Unknown source";

/** Show the source of the displayed data in the header. */
export function showSources(sources) {
  const pill = byId("source");
  const known = [...new Set(sources)].filter((source) => source in SOURCES);
  pill.hidden = known.length === 0;
  pill.classList.toggle(
    "live",
    known.every((source) => LIVE_SOURCES.includes(source)),
  );
  pill.dataset.sources = known.join(" ");
  setText(pill, known.map((source) => SOURCES[source][0]).join(" + "));
  pill.title = known.map((source) => SOURCES[source][1]).join(" ");
}

const announcedIds = new Set();

function announceAnomaly(anomaly) {
  // An updated prediction sends the anomaly again.
  if (announcedIds.has(anomaly.id)) return;
  announcedIds.add(anomaly.id);
  const title = `Anomaly: ${anomaly.station_id}`;
  const reason = anomaly.reasons[0] ?? anomaly.kinds.map(checkLabel).join(", ");
  const text = `${formatDateTime(anomaly.timestamp)}: ${reason}`;
  showToast(title, text, { kind: "anomaly", url: stationUrl(anomaly.station_id), isBad: true });
  if (window.Notification?.permission === "granted")
    new Notification(title, { body: reason, tag: `weatherglass-${anomaly.id}` });
}

/** Show a message for some seconds. kind: `anomaly`, `alert`, `error` or `reconnected`. */
export function showToast(title, text, { kind, url = null, isBad = kind === "error" } = {}) {
  const close = () => toast.remove();
  const toast = h(
    "div",
    { class: isBad ? "toast bad" : "toast", "data-kind": kind },
    h("button", { type: "button", "aria-label": "Close", onclick: close }, "×"),
    h("b", {}, url ? h("a", { href: url }, title) : title),
    text,
  );
  const box = byId("toasts");
  box.append(toast);
  while (box.children.length > 4) box.firstElementChild.remove();
  setTimeout(close, isBad ? 15_000 : 5_000);
}

export const stationUrl = (id) => urlFor("/dashboard/station", { id });
