"use strict";
// A chooser holds dropdowns and figures. Each figure's key lists one value per dropdown; those that match all are shown.
for (const chooser of document.querySelectorAll("[data-chooser]")) {
  const selects = [...chooser.querySelectorAll("select")];
  const figures = [...chooser.querySelectorAll("[data-key]")].map((element) => ({ element, key: JSON.parse(element.dataset.key) }));
  const nearness = (a, b) => (a === b ? 2 : a.split("@")[0] === b.split("@")[0] ? 1 : 0);

  // Not every benchmark has every metric and k: keep what was just chosen and move the other dropdowns to the nearest figure.
  const show = (changed) => {
    const wanted = selects.map((select) => select.value);
    const score = ({ key }) => key.reduce((sum, part, i) => sum + nearness(part, wanted[i]) * (i === changed ? 100 : 1), 0);
    const best = figures.reduce((a, b) => (score(b) > score(a) ? b : a));
    for (const { element } of figures) element.hidden = element.dataset.key !== best.element.dataset.key;
    selects.forEach((select, i) => { select.value = best.key[i]; });
  };
  selects.forEach((select, i) => select.addEventListener("change", () => show(i)));
  show(0);
}
