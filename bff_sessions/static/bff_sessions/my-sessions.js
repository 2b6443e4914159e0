"use strict";

// The list shows what the server has: it is loaded again if a session has begun or ended elsewhere.
(() => {
  const MILLISECONDS_BETWEEN_LOOKS = 10000;
  const { bff, sessions } = document.currentScript.dataset;

  // The answer to a page without a session is the redirect to sign-in, where the reason is shown.
  const reload = () => location.reload();
  watchSession(bff, { ended: reload, changed: reload });

  let known;

  async function look() {
    if (document.visibilityState !== "visible") return;
    const response = await fetch(`${sessions}?slide=false`, { headers: { "X-CSRF": "1" } });
    if (!response.ok) return;
    const found = (await response.json()).sessions.map((session) => session.public_id).join();
    if (known !== undefined && found !== known) reload();
    known = found;
  }

  if (sessions) {
    const lookSafely = () => look().catch(() => {});
    setInterval(lookSafely, MILLISECONDS_BETWEEN_LOOKS);
    document.addEventListener("visibilitychange", lookSafely);
    lookSafely();
  }
})();
