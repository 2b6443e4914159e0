"use strict";

/**
 * Watch the session of this page, without renewing it.
 *
 * The tabs of a browser share one stream, because a browser opens six connections to a host that has
 * HTTP/1.1. The tab that has the stream tells the others what it learns.
 *
 * @param {string} bff The path below which bff_sessions.urls are included, such as "/bff/".
 * @param {function(string=)} ended Called once when the session has ended, with the reason as a
 *   sentence if it is known.
 * @param {function()} changed Called when the browser has another session, perhaps of another user.
 * @returns {function()} Call it to stop.
 */
function watchSession(bff, { ended, changed }) {
  const MILLISECONDS_UNTIL_NEXT_TRY = 5000;
  const name = `bff_sessions ${bff}`;
  const tabs = new BroadcastChannel(name);
  const waiting = new AbortController();
  let source, timer, leave, last;
  // The ID of the identity that this page shows. The stream names it.
  let known;
  let isOver = false;

  function stop() {
    isOver = true;
    waiting.abort();
    clearTimeout(timer);
    source?.close();
    tabs.close();
    leave?.();
  }

  /** True or false; undefined if the server does not say. */
  async function isSignedIn() {
    try {
      const response = await fetch(`${bff}user?slide=false`, { headers: { "X-CSRF": "1" } });
      if (response.status === 401) return false;
      return response.ok ? (await response.json()) !== null : undefined;
    } catch {
      return undefined;
    }
  }

  /** Ask first: a sign-in in another tab may have replaced the session. */
  async function learn(news) {
    last = news ?? last;
    const answer = await isSignedIn();
    if (isOver) return;
    if (answer === false) {
      stop();
      ended(last?.text);
    } else if (answer && last) {
      last = undefined;
      changed();
    } else if (last) {
      // The stream does not repeat its event.
      setTimeout(() => isOver || learn(), MILLISECONDS_UNTIL_NEXT_TRY);
    }
  }

  function tell(news) {
    known = undefined;
    tabs.postMessage({ news });
    learn(news);
  }

  function open() {
    // EventSource sends the ID by itself only if it connects again.
    source = new EventSource(`${bff}events${known ? `?last-event-id=${known}` : ""}`);
    source.addEventListener("watching", ({ lastEventId }) => {
      known = lastEventId;
      tabs.postMessage({ known });
    });
    source.addEventListener("session-ended", ({ data }) => tell({ text: JSON.parse(data).text }));
    source.addEventListener("identity-changed", () => tell({}));
    source.addEventListener("error", async () => {
      // Otherwise the browser connects again by itself.
      if (source.readyState !== EventSource.CLOSED) return;
      // No user is signed in (401), or too many pages are open (503).
      await learn();
      if (!isOver) timer = setTimeout(open, MILLISECONDS_UNTIL_NEXT_TRY);
    });
  }

  tabs.addEventListener("message", ({ data }) => {
    if (data.news) {
      known = undefined;
      learn(data.news);
    } else if (data.known) {
      // This tab may have to go on with the stream of that tab, or has missed its news.
      if (known && known !== data.known) learn({});
      known = data.known;
    } else if (source && known) {
      // A tab that has just opened asks.
      tabs.postMessage({ known });
    }
  });
  tabs.postMessage({});
  if (navigator.locks) {
    const keep = () => new Promise((resolve) => {
      leave = resolve;
      open();
    });
    navigator.locks.request(name, { signal: waiting.signal }, keep).catch(() => {
      // Some browsers refuse locks to pages in a sandbox.
      if (!isOver) open();
    });
  } else {
    // A page without HTTPS.
    open();
  }
  return stop;
}
