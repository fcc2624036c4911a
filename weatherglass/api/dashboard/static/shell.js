// What all pages share: preferences, clock, the pipeline's state, where the data come from, notices and notifications.
import { by, h, say } from "./dom.js";
import { health, live } from "./live.js";
import { preference, prefer } from "./preferences.js";
import { address } from "./api.js";
import { age, checkName, dayTime } from "./units.js";

const ORIGINS = {
  "open-meteo": ["Live", "The present weather, as Open-Meteo gives it."],
  replay: ["Replayed", "Replayed, not live: real observations of the same date and time of an earlier year."],
  simulated: ["Simulated", "Simulated, not observed: made by a generator."],
  kaggle: ["History", "Not live: history from Kaggle's data set."],
};

/** Start a page: draw() asks and draws; told as in live(). */
export function start(draw, told = {}) {
  preferences();
  tick();
  setInterval(tick, 1000);
  const soon = live(
    async () => {
      const [state, drawn] = await Promise.allSettled([health(), draw()]);
      if (state.status === "fulfilled") showState(state.value);
      for (const part of [drawn, state]) if (part.status === "rejected") throw part.reason;
    },
    {
      ...told,
      anomaly: (flag) => {
        announce(flag);
        told.anomaly?.(flag);
      },
      alert: (alert) => {
        if (alert.open)
          toast(
            alert.severity === "critical" ? "Critical alert" : "Alert",
            alert.words,
            "/dashboard/system",
            alert.severity === "critical",
          );
        told.alert?.(alert);
      },
    },
    connection,
  );
  return soon;
}

function tick() {
  const now = new Date();
  const clock = by("clock");
  clock.dateTime = now.toISOString();
  say(clock, `${now.toISOString().slice(11, 19)} UTC`);
}

function preferences() {
  const menu = by("preferences");
  for (const name of ["temp", "wind", "time", "theme"]) {
    for (const input of menu.querySelectorAll(`input[name=${name}]`)) {
      input.checked = input.value === preference(name);
      input.addEventListener("change", () => prefer(name, input.value));
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
  const notify = by("notify");
  const shown = () => {
    const may = window.Notification?.permission;
    notify.disabled = may !== "default";
    say(
      notify,
      may === "granted"
        ? "The browser notifies you"
        : may === "denied"
          ? "Notifications are blocked by the browser"
          : may
            ? "Notify me of suspect readings"
            : "This browser has no notifications",
    );
  };
  notify.addEventListener("click", async () => {
    await Notification.requestPermission();
    shown();
  });
  shown();
}

function showState(state) {
  const line = by("state");
  line.className = `state ${state.state}`;
  const wrong = state.parts.filter((part) => part.state !== "ok");
  const spoken = {
    stream_features: "features",
    serve_predictions: "inference",
    store_predictions: "sink",
    job_host: "job host",
  };
  const named = wrong.map((part) => `${spoken[part.name] ?? part.name}: ${part.detail}`);
  const arrived = state.parts.find((part) => part.name === "predictions");
  const words = wrong.length
    ? `${state.state === "failing" ? "The pipeline fails" : "The pipeline works, but not as it should"}: ${named[0]}${named.length > 1 ? ` (and ${named.length - 1} more)` : ""}`
    : `All ${state.parts.length} parts of the pipeline work. Last prediction ${age(arrived?.age_seconds)} ago.`;
  say(by("state-words"), words);
  const observed = state.parts.find((part) => part.name === "observations");
  old =
    observed && observed.state !== "ok" && observed.age_seconds !== null
      ? `The data are old: the last observation came ${age(observed.age_seconds)} ago. What you see may no longer be so.`
      : null;
  notice();
}

let old = null;
let away = null;

function notice() {
  const box = by("notice");
  const words = away ?? old;
  box.classList.toggle("bad", away !== null);
  box.hidden = words === null;
  say(box, words ?? "");
}

let since = null;

function connection(up, error) {
  if (up) {
    away = null;
    since = null;
    toast("Connected again", "The page is up to date.");
  } else if (error.status === 401) {
    away = "You are no longer logged in. Reload the page to log in again.";
  } else {
    since ??= new Date();
    const why = error.status ? `The API answers: ${error.message}` : "The API cannot be reached";
    away = `${why}. Since ${since.toISOString().slice(11, 19)} UTC this page shows what was known before; it tries again by itself.`;
  }
  notice();
}

/** Say in the header where the shown data come from. */
export function showOrigin(sources) {
  const pill = by("origin");
  const known = [...new Set(sources)].filter((source) => source in ORIGINS);
  pill.hidden = known.length === 0;
  pill.classList.toggle(
    "live",
    known.every((source) => source === "open-meteo"),
  );
  say(pill, known.map((source) => ORIGINS[source][0]).join(" + "));
  pill.title = known.map((source) => ORIGINS[source][1]).join(" ");
}

const announced = new Set();

function announce(flag) {
  // A revised prediction tells of the same reading again.
  if (announced.has(flag.id)) return;
  announced.add(flag.id);
  const title = `Suspect reading: ${flag.station_id}`;
  const words = flag.reasons[0] ?? flag.kinds.map(checkName).join(", ");
  toast(title, `${dayTime(flag.timestamp)}: ${words}`, stationLink(flag.station_id), true);
  if (window.Notification?.permission === "granted")
    new Notification(title, { body: words, tag: `weatherglass-${flag.id}` });
}

export function toast(title, words, path = null, bad = false) {
  const close = () => made.remove();
  const made = h(
    "div",
    { class: bad ? "toast bad" : "toast" },
    h("button", { type: "button", "aria-label": "Close", onclick: close }, "×"),
    h("b", {}, path ? h("a", { href: path.startsWith("/dashboard") ? address(path) : path }, title) : title),
    words,
  );
  const box = by("toasts");
  box.append(made);
  while (box.children.length > 4) box.firstElementChild.remove();
  setTimeout(close, bad ? 15_000 : 5_000);
}

export const stationLink = (id) => address("/dashboard/station", { id });
