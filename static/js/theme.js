// Runs in <head>, before the first paint: no flash of the wrong theme.
"use strict";
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => root.setAttribute("data-bs-theme", dark.matches ? "dark" : "light");
  root.classList.add("js");
  dark.addEventListener("change", apply);
  apply();
})();
