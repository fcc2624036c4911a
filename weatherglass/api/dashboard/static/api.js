// Asking the API. Every failure is an ApiError with words for a person.

export const root = document.documentElement.dataset.root;

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? "the API did not answer");
    this.status = status;
    this.problem = problem;
  }

  /** Nothing there yet, or no such thing; as opposed to an API that does not answer. */
  get missing() {
    return this.status === 404;
  }
}

export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const asked = new URLSearchParams(given.flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  return `${root}${path}${asked.size ? `?${asked}` : ""}`;
}

export async function get(path, query = {}) {
  return answered(
    await reached(
      fetch(address(path, query), { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(20_000) }),
    ),
  );
}

export async function post(path, body) {
  const init = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  };
  return answered(await reached(fetch(`${root}${path}`, init)));
}

async function reached(answer) {
  try {
    return await answer;
  } catch (error) {
    throw new ApiError(0, { detail: `the API cannot be reached (${error.message})` });
  }
}

async function answered(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    if (answer.ok) throw new ApiError(0, { detail: "the API's answer was cut off" });
  }
  if (answer.ok) return body;
  throw new ApiError(answer.status, body);
}
