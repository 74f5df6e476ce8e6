// The JSON interface, and the live stream.

export class ApiError extends Error {}

export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === "") continue;
    query.set(name, Array.isArray(value) ? value.join(",") : value);
  }
  const text = query.toString();
  let answer;
  try {
    answer = await fetch(text ? `${path}?${text}` : path, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The dashboard does not answer. Is “python -m dashboard” still running?");
  }
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => null);
  throw new ApiError(told?.error?.message ?? `The dashboard answered with status ${answer.status}.`);
}

export function post(path, body) {
  return write(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

export function remove(path) {
  return write(path, { method: "DELETE" });
}

async function write(path, request) {
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new ApiError("The dashboard does not answer; nothing was changed.");
  }
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => null);
  throw new ApiError(told?.error?.message ?? `The dashboard answered with status ${answer.status}.`);
}

/** The live stream of one view; `close` it when the view changes. */
export class Live {
  constructor({ step, panels, region, routing, since }, on) {
    this.#parameters = { step, panel: panels, region, routing };
    this.#on = on;
    this.#open(since);
  }

  #parameters;
  #on;
  #source = null;
  #timer = 0;
  #last = null;
  #closed = false;

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#source?.close();
  }

  #open(since) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...this.#parameters, since })) {
      if (value !== null && value !== undefined && String(value) !== "") query.set(name, String(value));
    }
    const source = new EventSource(`/api/live?${query}`);
    this.#source = source;
    source.addEventListener("open", () => this.#on.state(true));
    source.addEventListener("points", (event) => {
      const message = JSON.parse(event.data);
      this.#last = message.end;
      this.#on.points(message);
    });
    source.addEventListener("status", (event) => this.#on.status(JSON.parse(event.data)));
    source.addEventListener("skipped", (event) => this.#on.skipped(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      if (this.#closed) return;
      this.#on.state(false);
      // The browser gives up for good on some failures; we do not.
      if (source.readyState === EventSource.CLOSED) {
        this.#timer = setTimeout(() => this.#open(this.#last ?? since), 2000);
      }
    });
  }
}
