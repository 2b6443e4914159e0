// A single-page front end in one file: all that it knows comes from the endpoints of bff_sessions.
const app = document.getElementById("app");
const BFF = app.dataset.bff.replace(/user$/, "");
const SECONDS_BETWEEN_POLLS = 3;

const bff = (path, init = {}) =>
  fetch(BFF + path, { ...init, headers: { "X-CSRF": "1", ...init.headers } });

const end = (user, which) =>
  bff(`sessions/${which}`, { method: "DELETE", headers: { "X-CSRFToken": user.csrf_token } });

/** An element; what others have named is set as text, never as HTML. */
function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

function signedOut() {
  const to = `${BFF}login?return_to=${encodeURIComponent(location.pathname)}`;
  return [
    element("h1", {}, "You are signed out"),
    element("p", {}, element("a", { href: to, className: "button" }, "Sign in")),
  ];
}

function signedIn(user, sessions) {
  const { claims } = user;
  // A form, because the browser itself has to go on to the provider.
  const signOut = element(
    "form",
    { method: "post", action: user.logout_url },
    element("input", { type: "hidden", name: "csrfmiddlewaretoken", value: user.csrf_token }),
    element("input", { type: "hidden", name: "return_to", value: location.pathname }),
    element("button", {}, "Sign out"),
  );
  const others = element("button", { className: "second", onclick: () => end(user, "others").then(show) },
    "Sign out everywhere else");
  return [
    element("header", {},
      element("h1", {}, `Signed in as ${claims.name ?? claims.preferred_username ?? claims.sub}`),
      signOut),
    element("h2", {}, "Your sessions"),
    ...sessions.map((session) => card(user, session)),
    ...(sessions.length > 1 ? [element("p", {}, others)] : []),
  ];
}

function card(user, session) {
  const id = element("code", {}, session.public_id.slice(0, 8));
  const last = session.current
    ? "this browser"
    : element("button",
      { className: "second", onclick: () => end(user, session.public_id).then(show) }, "End");
  return element("section", { className: session.current ? "card current" : "card" },
    element("h3", {}, id, last),
    element("dl", {},
      element("dt", {}, "Signed in"),
      element("dd", {}, new Date(session.created).toLocaleString())));
}

/** Whose page is shown: a subject, or null while nobody is signed in. */
let shown;

async function getUser(query = "") {
  const response = await bff(`user${query}`);
  if (response.status === 401) return null;
  if (!response.ok) throw new Error("The server is away: what is shown stays.");
  return response.json();
}

async function show() {
  const user = await getUser();
  const response = user && (await bff("sessions"));
  const isSignedIn = user !== null && response.ok;
  const content = isSignedIn ? signedIn(user, (await response.json()).sessions) : signedOut();
  app.replaceChildren(...content);
  shown = isSignedIn ? user.claims.sub : null;
}

async function poll() {
  try {
    // Without slide=false a page that is left open might keep its session alive for ever.
    const user = await getUser("?slide=false");
    if ((user?.claims.sub ?? null) !== shown) await show();
  } catch {
    // Until the next time.
  }
  setTimeout(poll, SECONDS_BETWEEN_POLLS * 1000);
}

// In another tab or browser there may be more sessions by now, or a new CSRF token in this one.
addEventListener("focus", () => show().catch(() => {}));
poll();
