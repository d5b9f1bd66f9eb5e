"use strict";
// Search: an entry stays when it has every word. Everything is readable without this script.
const search = document.getElementById("search");
const entries = [...document.querySelectorAll("[data-text]")].map((item) => [item, item.dataset.text]);
const vms = document.querySelectorAll(".vm").length;

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const [item, text] of entries) {
    item.hidden = !words.every((word) => text.includes(word));
    if (!item.hidden && item.classList.contains("vm")) shown += 1;
  }
  document.getElementById("count").textContent = words.length ? `${shown} of ${vms} VMs` : "";
}

search.addEventListener("input", filter);
search.form.addEventListener("submit", (event) => event.preventDefault());
filter(); // a browser that goes back keeps the field's text

// What a box or bar has to say, when one points at it or the keyboard comes to it.
const tip = document.getElementById("tip");

function hint(target) {
  const item = target.closest?.(".box, [data-hint]");
  const title = item?.querySelector(":scope > title");
  if (title) { // else the browser would show it, too
    item.dataset.hint = title.textContent;
    item.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  return item?.dataset.hint ? item : null;
}

let told = null; // the box or bar that the words are of

function tell(item) {
  told = item;
  tip.hidden = !item;
  if (!item) return;
  tip.textContent = item.dataset.hint;
  const place = item.getBoundingClientRect();
  const below = place.bottom + 8 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below ? place.bottom + 8 : Math.max(8, place.top - tip.offsetHeight - 8)}px`;
}

document.addEventListener("mouseover", (event) => tell(hint(event.target)));
document.addEventListener("focusin", (event) => tell(hint(event.target)));
document.addEventListener("focusout", () => tell(null));
document.addEventListener("scroll", () => tell(told), { capture: true, passive: true }); // the keyboard scrolls, too
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tell(null);
  if (event.key === "/" && event.target !== search) {
    event.preventDefault();
    search.focus();
  }
});
