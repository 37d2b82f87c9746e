// Keys for the page of an item: it works without them. 1 2 3 0 and the arrows judge, Backspace goes back, N writes a note.
"use strict";

const form = document.getElementById("choose");
const note = document.getElementById("note");
const KEYS = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right", 3: "tie", 0: "unsure" };
let sent = false;

form.addEventListener("submit", (event) => {
  if (sent) {
    event.preventDefault(); // the first choice is under way
    return;
  }
  sent = true;
  event.submitter?.classList.add("sent");
  sessionStorage.setItem("sent", location.pathname);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target === note) {
    if (event.key === "Escape") note.blur();
    return;
  }
  if (event.repeat) return; // a key held down judges one item
  const choice = KEYS[event.key];
  if (choice) {
    event.preventDefault();
    form.requestSubmit(form.querySelector(`button[value="${choice}"]`));
  } else if (event.key === "Backspace" || event.key === "u" || event.key === "U") {
    event.preventDefault();
    document.getElementById("back")?.click();
  } else if (event.key === "n" || event.key === "N") {
    event.preventDefault();
    note.closest("details").open = true;
    note.focus();
  }
});

// A note that is not saved yet outlives a reload of this tab, and a judgment that could not be written.
const saved = sessionStorage.getItem("sent");
if (saved !== null && saved !== location.pathname) {
  sessionStorage.removeItem(saved);
  sessionStorage.removeItem("sent");
}
const draft = sessionStorage.getItem(location.pathname);
if (draft !== null && draft !== note.value) {
  note.value = draft;
  note.closest("details").open = true;
}
note.addEventListener("input", () => sessionStorage.setItem(location.pathname, note.value));

// Both answers open and close together, so that neither looks shorter than it is.
const folds = document.querySelectorAll(".sides article > details.long");
for (const fold of folds) {
  fold.addEventListener("toggle", () => {
    for (const other of folds) other.open = fold.open;
  });
}

// Coming back by the browser's own button shows the page as it was: let it be sent again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
