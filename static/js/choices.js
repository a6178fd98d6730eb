// Parts of a form that belong to one choice are shown with it. Without scripting all show.
"use strict";
(() => {
  const show = (part) => {
    const [name, value] = part.dataset.showWhen.split("=");
    const boxes = [...document.getElementsByName(name)];
    const chosen = boxes.find((box) => box.checked || box.type === "hidden");
    part.hidden = boxes.length > 0 && chosen?.value !== value;
  };
  const showAll = () => document.querySelectorAll("[data-show-when]").forEach(show);
  document.addEventListener("change", showAll);
  showAll();
})();
