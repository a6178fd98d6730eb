// Progressive enhancement: every page works without this file.
"use strict";
(() => {
  const words = document.body.dataset;

  // --- Copy boxes
  const selectAll = (box) => { box.focus(); box.select(); };

  async function copy(box, said) {
    const text = box.value.replace(/\s+$/, "");
    said.textContent = "";
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = words.copied;
    } catch {
      // No clipboard on plain HTTP, or refused: the person's own keys still work.
      selectAll(box);
      said.textContent = words.copyByHand;
    }
  }

  function fit(box) {
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
  }

  function setUpCopy(widget) {
    const box = widget.querySelector("textarea");
    const said = widget.querySelector("[data-copy-said]");
    widget.querySelector("[data-copy-button]").addEventListener("click", () => copy(box, said));
    box.addEventListener("click", () => selectAll(box));
    fit(box);
  }

  // The text wraps anew when the window is turned or made wider.
  window.addEventListener("resize", () => document.querySelectorAll("[data-copy] textarea").forEach(fit));

  // --- Dialogs
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog-open]");
    if (opener) document.getElementById(opener.dataset.dialogOpen)?.showModal();
    if (event.target.closest("[data-dialog-close]")) event.target.closest("dialog").close();
    const message = event.target.closest("[data-dismiss]")?.closest("[data-message]");
    if (message) {
      message.remove();
      document.getElementById("main").focus({ preventScroll: true });
    }
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details[data-menu][open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
  });

  // --- Times: the browser's zone, named; relative text kept fresh
  // Plain English is taken for American, with the month first; the server writes the day.
  const said = document.documentElement.lang || undefined;
  const language = said === "en" ? "en-GB" : said;
  const absolute = new Intl.DateTimeFormat(language, {
    day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
  });
  const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", year: "numeric" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

  function ago(date) {
    const seconds = (date - Date.now()) / 1000;
    for (const [unit, size] of UNITS) {
      if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
    }
    return relative.format(0, "second");
  }

  function tell(time) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.getTime())) return;
    const [exact, near] = [time.querySelector("[data-absolute]"), time.querySelector("[data-relative]")];
    if (exact) exact.textContent = absolute.format(date);
    const dayOnly = time.querySelector("[data-day]");
    if (dayOnly) dayOnly.textContent = day.format(date);
    if (near) near.textContent = ago(date);
  }
  setInterval(() => document.querySelectorAll("time[data-local]").forEach(tell), 30000);

  // --- One submit a form
  const HELD_MS = 8000;  // then a lost answer may be tried again

  function release(form) {
    delete form.dataset.sent;
    form.querySelectorAll("[aria-disabled][data-held]").forEach((button) => {
      button.removeAttribute("aria-disabled");
      delete button.dataset.held;
    });
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const own = form.hasAttribute("hx-post") || form.hasAttribute("data-submit-many");
    if (event.defaultPrevented || form.method !== "post" || own) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    if (event.submitter) {
      // Not `disabled`: its name and value must still be sent.
      event.submitter.setAttribute("aria-disabled", "true");
      event.submitter.dataset.held = "1";
      document.getElementById("announce").textContent = words.working;
    }
    setTimeout(release, HELD_MS, form);
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form[data-sent]").forEach(release);
  });

  // --- Choosing rows of a list: all at once, and how many
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-choose]");
    if (!form || event.target.type !== "checkbox") return;
    const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
    const all = form.querySelector("[data-choose-all]");
    if (event.target === all) boxes.forEach((box) => { box.checked = all.checked; });
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
    form.querySelector("[data-chosen]").textContent = chosen ? words.chosen.replace("%d", chosen) : "";
  });

  // --- An upload shows how far it is; without this it is a plain form
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const file = form.querySelector("input[type=file]");
    if (event.defaultPrevented || !form.hasAttribute("data-upload") || !file.files.length) return;
    event.preventDefault();
    if (form.dataset.uploading) return;
    form.dataset.uploading = "1";
    const [box, error] = [form.querySelector("[data-upload-progress]"), form.querySelector("[data-upload-error]")];
    const [bar, percent] = [box.querySelector("progress"), box.querySelector("[data-upload-percent]")];
    const announce = document.getElementById("announce");
    // Refused at the form: the answer is this page again, with the reason.
    const show = (answer) => {
      document.title = answer.title;
      document.getElementById("main").replaceWith(answer.getElementById("main"));
      document.querySelector("[data-error-summary]").focus();
    };
    const failed = () => {
      box.hidden = true;
      error.hidden = false;
      error.textContent = form.dataset.uploadFailed;
      delete form.dataset.uploading;
      release(form);
    };
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.value = Math.floor((100 * loaded) / total);
      percent.textContent = `${bar.value} %`;
    });
    request.upload.addEventListener("load", () => {
      bar.removeAttribute("value");
      percent.textContent = announce.textContent = form.dataset.uploadChecking;
    });
    request.addEventListener("error", failed);
    request.addEventListener("load", () => {
      if (request.status >= 400) failed();
      else if (request.responseURL !== form.action) location.assign(request.responseURL);
      else show(new DOMParser().parseFromString(request.responseText, "text/html"));
    });
    error.hidden = true;
    box.hidden = false;
    request.open("POST", form.action);
    request.send(new FormData(form));
  });

  // --- Whatever is new on the page
  function setUp(root) {
    root.querySelectorAll("[data-copy]:not([data-ready])").forEach((widget) => {
      widget.dataset.ready = "1";
      setUpCopy(widget);
    });
    root.querySelectorAll("time[data-local]").forEach(tell);
  }
  setUp(document);
  // In the same breath as the swap: htmx:load comes a paint later, and the page would jump.
  document.addEventListener("htmx:afterSwap", (event) => event.detail.target.querySelectorAll("time[data-local]").forEach(tell));
  document.addEventListener("htmx:load", (event) => setUp(event.target.parentElement ?? document));
  const summary = document.querySelector("[data-error-summary]");
  if (summary) {
    summary.focus();
    // Refresh and the browser's Back read this page again instead of sending it again.
    history.replaceState(null, "", location.href);
  }
})();
