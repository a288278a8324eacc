"use strict";
(() => {
  const root = document.documentElement;
  const outlines = document.getElementById("outlines");
  const filters = [...document.querySelectorAll("[data-show]")];
  const cards = [...document.querySelectorAll("article.card")];
  const sections = [...document.querySelectorAll("section.level")];
  const shown = document.querySelector(".shown");
  let current = -1;

  function switchOutlines() {
    const on = outlines.getAttribute("aria-pressed") !== "true";
    outlines.setAttribute("aria-pressed", String(on));
    root.classList.toggle("without-outlines", !on);
  }

  function show(level) {
    for (const button of filters) button.setAttribute("aria-pressed", String(button.dataset.show === level));
    for (const section of sections) section.hidden = level !== "all" && section.dataset.level !== level;
    const count = visible().length;
    shown.textContent = level === "all" ? "" : `${count} of ${cards.length} images are shown`;
  }

  function visible() {
    return cards.filter((card) => !card.parentElement.hidden);
  }

  // The next or previous image from the focused one; without focus, from the one at the top of the window.
  function go(step) {
    const among = visible();
    if (!among.length) return;
    const focused = among.indexOf(document.activeElement.closest("article.card"));
    const below = among.findIndex((card) => card.getBoundingClientRect().bottom > 120);
    const from = focused >= 0 ? focused : step > 0 ? (current < 0 ? -1 : below - 1) : below;
    const card = among[Math.min(Math.max(from + step, 0), among.length - 1)];
    current = cards.indexOf(card);
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "start" });
  }

  const keys = { o: switchOutlines, ArrowLeft: () => go(-1), ArrowRight: () => go(1) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const scrolls = event.target.closest(".scroll");
    const act = keys[event.key];
    if (!act || (scrolls && event.key !== "o")) return;
    event.preventDefault();
    act();
  });
  outlines.addEventListener("click", switchOutlines);
  for (const button of filters) button.addEventListener("click", () => show(button.dataset.show));
  // A link from the table to an image that is not shown shows all images.
  for (const link of document.querySelectorAll("table a"))
    link.addEventListener("click", () => {
      const card = document.querySelector(link.getAttribute("href"));
      if (card.parentElement.hidden) show("all");
      requestAnimationFrame(() => card.focus({ preventScroll: true }));
    });
  document.querySelector(".controls").hidden = false;
})();
