// Filters answer while one types, keys move through rows and pages, and what is still being written is looked at again.
// Everything works without this file as well: pages are written by the server, forms are plain forms.
"use strict";

const form = document.querySelector("[data-form]");
let asking = null;
let timer = 0;

// A page as a document: the browser parses it and runs nothing in it.
function load(address, then) {
  if (asking) asking.abort();
  const request = (asking = new XMLHttpRequest());
  request.open("GET", address);
  request.responseType = "document";
  request.onload = () => {
    asking = null;
    if (request.status === 200 && request.response) then(request.response);
    else look(5);
  };
  request.onerror = () => { asking = null; look(5); };
  request.send();
}

// Put the parts of a fresh page in the place of ours, where they differ. The form keeps what is being typed.
function take(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const other = fresh.getElementById(part.id);
    if (!other || other.isEqualNode(part)) continue;
    const open = [...part.querySelectorAll("details")].map((d) => d.open);
    const row = part.querySelector(".at");
    const made = document.importNode(other, true);
    part.replaceWith(made);
    made.querySelectorAll("details").forEach((d, n) => { d.open = open[n] ?? d.open; });
    if (row && row.id) document.getElementById(row.id)?.classList.add("at");
  }
  if (form) renew(fresh);
  look();
}

// The controls of a form as the server has them now: counts, names that have come since. What has the focus stays.
function renew(fresh) {
  const theirs = [...fresh.querySelectorAll("[data-control]")];
  const ours = new Map([...document.querySelectorAll("[data-control]")].map((c) => [c.dataset.control, c]));
  let last = null;
  for (const control of theirs) {
    const mine = ours.get(control.dataset.control);
    ours.delete(control.dataset.control);
    if (mine && (mine.contains(document.activeElement) || mine.isEqualNode(control))) { last = mine; continue; }
    const made = document.importNode(control, true);
    if (mine) { if ("open" in made) made.open = mine.open; mine.replaceWith(made); }
    else if (last) last.after(made);
    else form.prepend(made);
    last = made;
  }
  for (const gone of ours.values()) if (!gone.contains(document.activeElement)) gone.remove();
}

function address() {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (String(value).trim()) asked.append(name, value);
  const words = asked.toString();
  return form.getAttribute("action") + (words ? "?" + words : "");
}

function ask() {
  const wanted = address();
  history.replaceState(null, "", wanted);
  load(wanted, take);
}

function look(wait) {
  const live = wait ?? Math.min(...[...document.querySelectorAll("[data-live]")].map((p) => Number(p.dataset.live) || Infinity));
  clearTimeout(timer);
  if (live && live < Infinity) timer = setTimeout(() => (document.hidden ? look(live) : load(location.href, take)), live * 1000);
}

if (form) {
  let pause = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(ask, event.target.matches("select, [type=radio]") ? 0 : 120);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(pause); ask(); });
}

function rows() { return [...document.querySelectorAll("[data-row]")]; }

function current() { return document.querySelector("[data-row].at") ?? document.querySelector("[data-row]:target"); }

function move(by) {
  const all = rows();
  if (!all.length) return false;
  const here = all.indexOf(current());
  const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1)];
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  all.forEach((row) => row.classList.toggle("at", row === next));
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function go(selector) {
  const link = document.querySelector(selector);
  if (link) link.click();
  return Boolean(link);
}

const KEYS = {
  "/": () => { const box = document.querySelector("[data-search]"); box?.focus(); box?.select(); return Boolean(box); },
  j: () => move(1) || go("[data-next]"),
  k: () => move(-1) || go("[data-previous]"),
  n: () => go("[data-next]"),
  p: () => go("[data-previous]"),
  u: () => go("[data-back]"),
  Enter: () => { const row = current(); row?.querySelector("[data-go]")?.click(); return Boolean(row); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target.matches("input, select")) { event.target.blur(); return; }
  if (event.target.matches("input:not([type=radio]), select, textarea")) return;
  if (event.key === "Enter" && event.target.matches("a, button, summary")) return;
  if (KEYS[event.key]?.()) event.preventDefault();
});

look();
