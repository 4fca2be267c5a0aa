// Gets the page again and again, and puts what has changed in the place of what was there: see page.html, data-live.
// One request at a time, none while nobody sees the page.
"use strict";
(() => {
  const pause = 2000, patience = 10000, longestPause = 30000;
  let failures = 0, last = new Date();

  async function refresh() {
    if (!document.hidden) {
      try {
        update(await load());
        failures = 0;
        last = new Date();
      } catch {
        failures++;
      }
      const stale = document.getElementById("stale");
      stale.hidden = failures < 2;
      stale.querySelector("span").textContent = last.toLocaleTimeString();
    }
    setTimeout(refresh, Math.min(pause * 2 ** Math.min(failures, 4), longestPause));
  }

  async function load() {
    const answer = await fetch(location.href, {
      headers: {Accept: "text/html"}, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(patience),
    });
    if (!answer.ok) throw new Error(answer.statusText);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  function update(next) {
    if (next.querySelectorAll("[data-live]").length !== document.querySelectorAll("[data-live]").length) {
      document.querySelector("main").replaceWith(document.adoptNode(next.querySelector("main"))); // other parts now
      return;
    }
    for (const shown of document.querySelectorAll("[data-live]")) {
      const fresh = next.getElementById(shown.id);
      if (fresh && fresh.innerHTML !== shown.innerHTML) {
        shown.replaceChildren(...document.adoptNode(fresh).childNodes);
      }
    }
    document.title = next.title;
  }

  setTimeout(refresh, pause);
})();
