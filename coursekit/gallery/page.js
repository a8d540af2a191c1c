(() => {
  const wall = document.getElementById("wall"), all = [...wall.children];
  const order = document.getElementById("order"), words = document.getElementById("words");
  const wrong = document.getElementById("wrong"), told = document.getElementById("told");
  const maps = document.getElementById("maps");
  const keys = {
    given: () => 0,
    worst: one => +one.dataset.cider,
    best: one => -one.dataset.cider,
    disputed: one => -one.dataset.dispute,
    number: one => +one.dataset.number,
  };
  const sort = () => {
    const key = keys[order.value];
    wall.append(...[...all].sort((a, b) => key(a) - key(b) || all.indexOf(a) - all.indexOf(b)));
  };
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const one of all) {
      const text = one.textContent.toLowerCase();
      one.hidden = !wanted.every(word => text.includes(word)) || (wrong?.checked && one.dataset.false === "0");
    }
    const left = all.filter(one => !one.hidden).length;
    told.textContent = left === all.length ? "" : `${left} of ${all.length} pictures`;
  };
  order.addEventListener("change", sort);
  words.addEventListener("input", filter);
  wrong?.addEventListener("change", filter);
  maps?.addEventListener("click", () => {
    const open = maps.getAttribute("aria-pressed") !== "true";
    maps.setAttribute("aria-pressed", open);
    wall.querySelectorAll("details.looks").forEach(one => { one.open = open; });
  });
  document.getElementById("controls").hidden = false;
})();
