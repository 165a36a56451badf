// Light or dark: as the system says, until somebody says otherwise. It runs before the first paint.
"use strict";

(() => {
  const KEY = "agent-runner.theme";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => localStorage.getItem(KEY);
  const show = () => { root.dataset.theme = kept() || (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", show);
  window.switchTheme = () => {
    localStorage.setItem(KEY, root.dataset.theme === "dark" ? "light" : "dark");
    show();
    return root.dataset.theme;
  };
  show();
})();
