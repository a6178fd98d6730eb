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

// A long list of choices gets a box that narrows it as one types.
(() => {
  for (const select of document.querySelectorAll("select[data-narrow]")) {
    if (select.options.length < 8) continue;
    const all = [...select.options];
    const box = document.createElement("input");
    box.type = "search";
    box.className = "form-control ds-narrow-box";
    box.setAttribute("aria-label", select.dataset.narrow);
    box.placeholder = select.dataset.narrow;
    box.addEventListener("input", () => {
      const words = box.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
      const matches = (option) => words.every((word) => option.text.toLocaleLowerCase().includes(word));
      select.replaceChildren(...all.filter((option) => option.selected || matches(option)));
    });
    select.before(box);
  }
})();

// What is typed is kept meanwhile: refresh, Back and leaving lose nothing.
(() => {
  const form = document.getElementById("wizard-form");
  if (!form) return;
  const PAUSE_MS = 600;
  let pause = null;
  let sending = null;

  function keep() {
    pause = null;
    sending?.abort();
    sending = new AbortController();
    const typed = new FormData(form);
    typed.set("keep", "1");
    const { signal } = sending;
    // Lost ones are sent again with the next word, or with the button.
    fetch(form.action, { method: "POST", body: typed, keepalive: true, signal })
      .then(showAnswers).catch(() => {});
  }

  // The last step's own answers, as they were kept, in its review.
  async function showAnswers(answer) {
    const list = form.querySelector("[data-answers]");
    // A link that has the focus is not taken away under the person's finger.
    const isOurs = answer.status === 200 && !answer.redirected;
    if (!isOurs || !list || list.contains(document.activeElement)) return;
    list.innerHTML = await answer.text();
  }

  form.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(keep, PAUSE_MS);
  });
  form.addEventListener("submit", () => {
    clearTimeout(pause);
    pause = null;
    sending?.abort();  // an older state must not arrive after this one
  });
  window.addEventListener("pagehide", () => { if (pause) { clearTimeout(pause); keep(); } });
})();
