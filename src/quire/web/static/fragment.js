// Links of the form /?o=1#job/1/run/2 name a run in their fragment, which only the browser sees.
"use strict";
const run = /^#job\/[0-9]+\/run\/([0-9]{1,15})$/.exec(window.location.hash);
if (run !== null) {
  const target = "/runs/" + run[1];
  const next = document.querySelector("input[name=next]");
  if (next !== null) {
    next.value = target; // not signed in yet: go there afterwards
  } else {
    window.location.replace(target);
  }
}
