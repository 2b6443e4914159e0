// A single-page front end in one file. All its data comes from the endpoints of bff_sessions.
const app = document.getElementById("app");
const status = document.getElementById("status");
const BFF = app.dataset.bff.replace(/user$/, "");

const bff = (path, init = {}) =>
  fetch(BFF + path, { ...init, headers: { "X-CSRF": "1", ...init.headers } });

const end = (user, which) =>
  bff(`sessions/${which}`, { method: "DELETE", headers: { "X-CSRFToken": user.csrf_token } });

/** Create an element. Values from the server are set as text, never as HTML. */
function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

/** Like the dates of the other pages of the sample. */
function moment(text) {
  const parts = new Date(text);
  const date = parts.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
  const time = parts.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
  return element("time", { dateTime: text }, `${date}, ${time} UTC`);
}

function signedOut(reason) {
  const to = `${BFF}login?return_to=${encodeURIComponent(location.pathname)}`;
  return [
    element("h1", { tabIndex: -1 }, "You are signed out"),
    ...(shown ? [element("p", { role: "alert" }, reason ?? "Your session has ended.")] : []),
    element("p", {}, element("a", { href: to, className: "button" }, "Sign in")),
  ];
}

function signedIn(user, sessions) {
  const { claims } = user;
  // A form, because the browser itself must follow the redirect to the provider.
  const signOut = element(
    "form",
    { method: "post", action: user.logout_url },
    element("input", { type: "hidden", name: "csrfmiddlewaretoken", value: user.csrf_token }),
    element("input", { type: "hidden", name: "return_to", value: location.pathname }),
    element("button", {}, "Sign out"),
  );
  const others = element("button", { className: "second", onclick: () => act(end(user, "others")) },
    "End all other sessions");
  return [
    element("header", {},
      element("h1", {}, `Signed in as ${claims.name ?? claims.preferred_username ?? claims.sub}`),
      signOut),
    element("h2", { tabIndex: -1 }, "Your sessions"),
    ...sessions.map((session) => card(user, session)),
    ...(sessions.length > 1 ? [element("p", {}, others)] : []),
  ];
}

function card(user, session) {
  const id = element("code", {}, session.public_id.slice(0, 8));
  const last = session.current
    ? "this browser"
    : element("button",
      { className: "second", onclick: () => act(end(user, session.public_id)) },
      "End", element("span", { className: "hidden" }, ` session ${session.public_id.slice(0, 8)}`));
  return element("section", { className: session.current ? "card current" : "card" },
    element("h3", {}, id, last),
    element("dl", {},
      element("dt", {}, "Signed in"),
      element("dd", {}, moment(session.created))));
}

/** The subject whose page is shown; null while the page shows a signed-out user. */
let shown;

async function getUser(query = "") {
  const response = await bff(`user${query}`);
  if (response.status === 401) return null;
  if (!response.ok) throw new Error("The server does not answer; the page stays as it is.");
  return response.json();
}

async function show(reason) {
  const user = await getUser();
  const response = user && (await bff("sessions"));
  const isSignedIn = user !== null && response.ok;
  const content = isSignedIn ? signedIn(user, (await response.json()).sessions) : signedOut(reason);
  app.replaceChildren(...content);
  shown = isSignedIn ? user.claims.sub : null;
  watch(isSignedIn);
}

/** Show the page after an act. Its button may be gone, so that the focus needs another place. */
async function act(done) {
  const response = await done;
  await show();
  status.textContent = response.ok ? "Done: the list shows the sessions that are left." : "That did not work.";
  app.querySelector("[tabindex]").focus();
}

/** Stops watching the session; undefined while no session is watched. */
let stop;

function watch(isSignedIn) {
  if (!isSignedIn) {
    stop?.();
    stop = undefined;
  } else if (!stop) {
    // Of bff_sessions/events.js.
    const changed = () => show().catch(() => {});
    stop = watchSession(BFF, { ended: (reason) => show(reason).catch(() => {}), changed });
  }
}

// Other tabs and browsers may have begun sessions, or replaced the CSRF token.
addEventListener("focus", () => show().catch(() => {}));
show().catch(() => {});
