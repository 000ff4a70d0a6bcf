"use strict";
(() => {
  const all = [...document.querySelectorAll("article")];
  const buttons = [...document.querySelectorAll("button[data-show]")];
  const search = document.getElementById("search");
  const diff = document.getElementById("diff");
  const count = document.getElementById("count");
  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const texts = all.map((each) =>
    plain([...each.querySelectorAll(".text")].map((text) => text.textContent).join("\n")));
  let shown = "all";

  const apply = () => {
    const wanted = plain(search.value.trim());
    let visible = 0;
    all.forEach((each, at) => {
      const fits = each.dataset.is.split(" ").includes(shown);
      each.hidden = !(fits && texts[at].includes(wanted));
      visible += each.hidden ? 0 : 1;
    });
    for (const each of buttons) {
      each.setAttribute("aria-pressed", String(each.dataset.show === shown));
    }
    document.body.classList.toggle("diff", diff.checked);
    count.textContent = `${visible} of ${all.length} shown`;
  };

  const remember = () => {
    const state = new URLSearchParams();
    if (shown !== "all") state.set("show", shown);
    if (search.value.trim()) state.set("q", search.value.trim());
    if (diff.checked) state.set("diff", "1");
    const text = state.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    apply();
  };

  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    const known = buttons.some((each) => each.dataset.show === state.get("show"));
    shown = known ? state.get("show") : "all";
    search.value = state.get("q") ?? "";
    diff.checked = state.get("diff") === "1";
    apply();
  };

  const step = (by) => {
    const visible = all.filter((each) => !each.hidden);
    const now = visible.indexOf(document.activeElement?.closest?.("article"));
    const next = visible[now < 0 ? (by > 0 ? 0 : visible.length - 1) : now + by];
    if (next) {
      next.focus({ preventScroll: true });
      next.scrollIntoView({ block: "start" });
    }
  };

  const keys = {
    "/": () => { search.focus(); search.select(); },
    j: () => step(1),
    k: () => step(-1),
    d: () => { diff.checked = !diff.checked; remember(); },
  };

  for (const each of buttons) {
    each.addEventListener("click", () => { shown = each.dataset.show; remember(); });
  }
  search.addEventListener("input", remember);
  diff.addEventListener("change", remember);
  addEventListener("hashchange", recall);
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("article details")) each.open = true;
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === search) {
      if (event.key === "Escape") { search.value = ""; remember(); search.blur(); }
      return;
    }
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  document.querySelector(".tools").hidden = false;
  recall();
})();
