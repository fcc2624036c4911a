// Requests to the API. Every failure throws an ApiError with a readable message.

export const root = document.documentElement.dataset.root;
const TIMEOUT_MS = 20_000;

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? "The API did not respond.");
    this.status = status; // 0 if there was no response
    this.problem = problem;
  }

  get isNotFound() {
    return this.status === 404;
  }
}

/** URL of an API path; parameters that are null, undefined or empty are omitted, arrays are repeated. */
export function urlFor(path, query = {}) {
  const parameters = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(
    parameters.flatMap(([name, value]) => [value].flat().map((element) => [name, element])),
  );
  return `${root}${path}${search.size ? `?${search}` : ""}`;
}

export function get(path, query = {}) {
  return request(urlFor(path, query), { headers: { Accept: "application/json" } });
}

/** The items named `key` of all pages of a list. */
export async function getAll(path, key, query = {}) {
  const items = [];
  let cursor = null;
  do {
    const page = await get(path, { ...query, limit: 500, cursor });
    items.push(...page[key]);
    cursor = page.next_cursor;
  } while (cursor);
  return items;
}

export function post(path, body, query = {}) {
  return request(urlFor(path, query), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** Delete a resource. */
export function remove(path) {
  return request(urlFor(path), { method: "DELETE" });
}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new ApiError(0, { detail: `The API cannot be reached (${error.message}).` });
  }
  let body = {};
  if (response.status === 204) return body;
  try {
    body = await response.json();
  } catch {
    if (response.ok) throw new ApiError(0, { detail: "The response of the API is incomplete." });
  }
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}
