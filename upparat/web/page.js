"use strict";

const AGAIN = 5000; // milliseconds

const live = document.getElementById("live");

// Replaces only what differs, so that the reader's selection stays.
function merge(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const shell = old.cloneNode().isEqualNode(fresh.cloneNode());
  const [left, right] = [[...old.childNodes], [...fresh.childNodes]];
  const elements = [...left, ...right].every((node) => node.nodeType === Node.ELEMENT_NODE);
  if (shell && elements && left.length && left.length === right.length) {
    left.forEach((node, index) => merge(node, right[index]));
  } else {
    old.replaceWith(fresh);
  }
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("main");
  document.title = fresh.dataset.title;
  merge(document.querySelector("main"), fresh);
}

function say(text, tone) {
  live.textContent = text;
  live.className = tone;
  live.hidden = false;
}

function watch() {
  const events = new EventSource("events");
  events.onopen = () => say("Live", "good");
  events.onmessage = (event) => show(event.data);
  events.onerror = () => {
    say("No connection to the agent: this is old", "bad");
    events.close();
    setTimeout(watch, AGAIN);
  };
}

watch();
