// Calls of the service, relative to this page, so that a proxy may serve it under any path.

export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function call(path, { body, key, signal } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["X-API-Key"] = key;
  let response;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(path, { method: text === undefined ? "GET" : "POST", headers, body: text, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service cannot be reached.", 0);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new Problem(answer?.error?.message ?? `The service answered ${response.status}.`, response.status);
}

export const tasks = async (key) => (await call("tasks", { key })).tasks;
export const spaces = async (key) => (await call("spaces", { key })).spaces;
export const readiness = () => call("readyz");

/** The answer to a question, and how long it took in milliseconds. */
export async function ask({ path, body }, { key, signal }) {
  const start = performance.now();
  const answer = await call(path, { body, key, signal });
  return { answer, milliseconds: performance.now() - start };
}
