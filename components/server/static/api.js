// Calls the service. The token is kept for this tab only, and travels in headers: never in an address.

const KEY = "agent-runner.token";
const PROTOCOL = "agent-runner";
const RIGHT = "Agent-Runner-Right";
export const signals = new EventTarget();
let right = "";

export const token = () => sessionStorage.getItem(KEY) || "";

export const keepToken = (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY));

/** May the token change something? The service tells with each answer. */
export const mayChange = () => right !== "read";

/** What went wrong, and what to do next. */
export class Problem extends Error {
  constructor(message, status = 0, told = {}) {
    super(message);
    this.status = status;
    this.told = told;
  }
}

const NEXT = {
  403: "Sign in with the full token to change something.",
  429: "Wait a minute, then try again.",
  500: "Look at the log of the service; then try again.",
  503: "The history cannot be reached; see the health on the overview.",
};

/** Ask the service. Answers JSON, or null for nothing; raises Problem. */
export const call = async (method, path, body) => {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: {
        ...(token() && { Authorization: `Bearer ${token()}` }),
        ...(body !== undefined && { "Content-Type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Problem("The service does not answer. Is `agent-runner serve` running? This page tries again by itself.");
  }
  right = answer.headers.get(RIGHT) || right;
  const told = answer.status === 204 ? null : await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401) signals.dispatchEvent(new Event("signed-out"));
  const said = told?.error || `the service answered ${answer.status}`;
  throw new Problem([said, NEXT[answer.status]].filter(Boolean).join(" "), answer.status, told || {});
};

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);

/** Is there no token yet where one is needed? The service says on an open address what can be done without one. */
export const isTokenMissing = async () => {
  if (token()) return false;
  const answer = await fetch("/health", { method: "HEAD", cache: "no-store" }).catch(() => null);
  return Boolean(answer?.ok) && !answer.headers.get(RIGHT);
};

/** An address with a query; what is empty is left out, lists are repeated. */
export const address = (path, query) => {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    for (const one of [value].flat()) if (one !== "" && one !== undefined && one !== null) given.append(name, one);
  return given.size ? `${path}?${given}` : path;
};

/** Open a WebSocket of the service; a page can name the token only as a protocol. */
export const socket = (path) => {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url, token() ? [PROTOCOL, `${PROTOCOL}.token.${token()}`] : [PROTOCOL]);
};
