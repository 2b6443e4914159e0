"use strict";

// The list shows what the server has: it is loaded again if a session has begun or ended elsewhere.
(() => {
  const FIRST_PAUSE = 10000; // ms
  const LONGEST_PAUSE = 60000;
  const { bff, sessions } = document.currentScript.dataset;

  // The answer to a page without a session is the redirect to sign-in, where the reason is shown.
  const reload = () => location.reload();
  watchSession(bff, { ended: reload, changed: reload });

  let known, timer, pause;

  async function look() {
    const response = await fetch(`${sessions}?slide=false`, { headers: { "X-CSRF": "1" } });
    if (!response.ok) return;
    const found = (await response.json()).sessions.map((session) => session.public_id).join();
    if (known !== undefined && found !== known) reload();
    known = found;
  }

  async function lookAgainAndAgain() {
    clearTimeout(timer);
    if (document.visibilityState !== "visible") return;
    await look().catch(() => {});
    clearTimeout(timer);
    timer = setTimeout(lookAgainAndAgain, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }

  // Soon after the user has turned to the page, and less often if it is left open.
  function begin() {
    pause = FIRST_PAUSE;
    lookAgainAndAgain();
  }

  if (sessions) {
    document.addEventListener("visibilitychange", begin);
    begin();
  }
})();
