// Keeps a page up to date: refreshes it on server-sent events and regularly, and reports connection changes.
import { get, root } from "./api.js";

const REFRESH_MS = 30_000;
const RETRY_MS = 2_500;
const DEBOUNCE_MS = 350;

/**
 * refresh(): async; requests and renders the data, throws an ApiError on failure.
 * handlers: {event kind: (data) => void}.
 * onConnectionChange(isConnected, error): called when the connection is restored and after each failed refresh.
 * Returns refreshSoon(), which schedules a refresh.
 */
export function startLiveUpdates(refresh, handlers, onConnectionChange) {
  let refreshing = false;
  let refreshAgain = false;
  let connected = true;
  let timer = 0;

  async function refreshNow() {
    if (refreshing) {
      refreshAgain = true;
      return;
    }
    refreshing = true;
    clearTimeout(timer);
    try {
      await refresh();
      if (!connected) onConnectionChange(true, null);
      connected = true;
    } catch (error) {
      if (!("status" in error)) console.error(error);
      connected = false;
      onConnectionChange(false, error);
    }
    refreshing = false;
    timer = setTimeout(refreshNow, refreshAgain ? DEBOUNCE_MS : connected ? REFRESH_MS : RETRY_MS);
    refreshAgain = false;
  }

  function refreshSoon() {
    clearTimeout(timer);
    if (refreshing) refreshAgain = true;
    else timer = setTimeout(refreshNow, DEBOUNCE_MS);
  }

  let streamLost = false;
  const source = new EventSource(`${root}/events`);
  source.addEventListener("hello", () => {
    if (streamLost) refreshSoon(); // events may have been missed
    streamLost = false;
  });
  source.addEventListener("error", () => {
    streamLost = true;
    refreshSoon();
  });
  for (const kind of ["prediction", "anomaly", "alert", "store"]) {
    source.addEventListener(kind, (event) => {
      handlers[kind]?.(JSON.parse(event.data));
      refreshSoon();
    });
  }
  // Close the stream when leaving the page, because browsers allow only six connections per server.
  addEventListener("pagehide", () => source.close());
  addEventListener("weatherglass:preferences", refreshSoon);
  refreshNow();
  return refreshSoon;
}

/** The health of the pipeline. Unlike /health, this path returns 200 even if a component is failing. */
export const getHealth = () => get("/dashboard/health");
