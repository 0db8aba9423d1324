// The server's API. Where it wants a token, the token is asked for and exchanged for a cookie.

/** A request that was refused; the message is the server's. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let askForToken = async () => false;

/** Says how a token is asked for: a function that resolves to whether a session was opened. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

async function call(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  let message = `The server answered ${answer.status}.`;
  try {
    message = (await answer.json()).error;
  } catch {
    // Not from the API itself.
  }
  throw new Refused(answer.status, message);
}

let asking = null;

async function callWithSession(path, options) {
  try {
    return await call(path, options);
  } catch (error) {
    if (error.status !== 401) throw error;
    // Calls that go on at the same time ask once.
    asking ??= askForToken().finally(() => {
      asking = null;
    });
    if (!(await asking)) throw error;
    return call(path, options);
  }
}

function post(body) {
  const options = { method: "POST" };
  if (body !== undefined) {
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  return options;
}

const run = (id) => `/api/runs/${encodeURIComponent(id)}`;

export const openSession = (token) => call("/api/session", post({ token }));
export const service = () => callWithSession("/api");
export const runs = async () => (await callWithSession("/api/runs")).runs;
export const getRun = (id) => callWithSession(run(id));
export const progress = (id, from) => callWithSession(`${run(id)}/progress?from=${from}`);
export const start = (wanted) => callWithSession("/api/runs", post(wanted));
export const stop = (id) => callWithSession(`${run(id)}/stop`, post());
export const fileAddress = (id, name) => `${run(id)}/files/${encodeURIComponent(name)}`;
export const reportAddress = (id) => `${run(id)}/report`;
