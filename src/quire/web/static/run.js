// Keeps the page of an active run up to date: asks for its stamp, and fetches what changed.
"use strict";
const wait = 1000;

async function refresh() {
  const summary = document.getElementById("summary");
  const run = summary.dataset.run;
  try {
    const answer = await fetch("/runs/" + run + "/status", { redirect: "error" });
    if (!answer.ok) {
      window.location.reload();
      return;
    }
    const status = await answer.json();
    if (status.stamp !== summary.dataset.stamp) {
      const page = await (await fetch("/runs/" + run, { redirect: "error" })).text();
      const fresh = new DOMParser().parseFromString(page, "text/html");
      summary.replaceWith(fresh.getElementById("summary"));
      const frame = document.getElementById("notebook");
      if (frame !== null) {
        frame.src = frame.getAttribute("src");
      } else if (fresh.getElementById("notebook") !== null) {
        window.location.reload();
        return;
      }
    }
    if (!status.active) {
      return;
    }
  } catch (error) {
    console.warn("The server does not answer; trying again.", error);
  }
  window.setTimeout(refresh, wait);
}

window.setTimeout(refresh, wait);
