// Keeping a page true: asks again when the feed says that something is new, and tells when the API is away.
import { get, root } from "./api.js";

const RENEW_MS = 30_000;
const RETRY_MS = 2_500;
const GATHER_MS = 350;

/**
 * refresh(): asks the API and draws; throws an ApiError where it does not answer.
 * told: {event kind: (data) => void}. connection(up, error): called at each change, and at each failed try.
 */
export function live(refresh, told, connection) {
  let running = false;
  let again = false;
  let up = true;
  let timer = 0;

  async function renew() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    clearTimeout(timer);
    try {
      await refresh();
      if (!up) connection(true, null);
      up = true;
    } catch (error) {
      if (!("status" in error)) console.error(error);
      up = false;
      connection(false, error);
    }
    running = false;
    timer = setTimeout(renew, again ? GATHER_MS : up ? RENEW_MS : RETRY_MS);
    again = false;
  }

  function soon() {
    clearTimeout(timer);
    if (running) again = true;
    else timer = setTimeout(renew, GATHER_MS);
  }

  let lost = false;
  const source = new EventSource(`${root}/events`);
  source.addEventListener("hello", () => {
    if (lost) soon(); // what came meanwhile
    lost = false;
  });
  source.addEventListener("error", () => {
    lost = true;
    soon();
  });
  for (const kind of ["prediction", "anomaly", "alert", "store"]) {
    source.addEventListener(kind, (event) => {
      told[kind]?.(JSON.parse(event.data));
      soon();
    });
  }
  // A page that is left must not hold a connection; a browser has only six of them for one server.
  addEventListener("pagehide", () => source.close());
  addEventListener("weatherglass:preferences", soon);
  renew();
  return soon;
}

/** The state of the pipeline; failing parts come with 503 and a whole answer. */
export const health = () => get("/dashboard/health");
