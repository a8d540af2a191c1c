// Formulas that are wider than the page scroll by themselves; so the keyboard must reach them.
function reachFormulas() {
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    if (formula.scrollWidth > formula.clientWidth) {
      formula.tabIndex = 0;
    } else {
      formula.removeAttribute("tabindex");
    }
  }
}

window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(reachFormulas));
window.addEventListener("resize", reachFormulas);

// A page that was opened as a file may not read others for excerpts; its search then shows titles alone.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
