"use strict";
const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const plain = (text) => text.normalize("NFKC").toLowerCase();
const press = (buttons, is) => buttons.forEach((one) => one.setAttribute("aria-pressed", is(one)));

// Text is only ever added as text, never as HTML.
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  element.append(...children);
  return element;
};

const unpacked = async () => {
  const text = atob(byId("data").textContent);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const unzipped = await new Response(stream).arrayBuffer();
  return JSON.parse(new TextDecoder(byId("data").dataset.coding).decode(unzipped));
};

// Whether a plain text has every word that is searched for, and none that stands after a minus.
const finder = (wanted) => {
  const words = plain(wanted).split(/\s+/).filter((word) => word && word !== "-");
  return (text) => words.every((one) => text.includes(one.replace(/^-/, "")) === (one[0] !== "-"));
};

const step = (by) => {
  const visible = all("article:not([hidden])");
  const now = visible.findIndex((each) => each.matches(":focus-within"));
  const next = visible[now < 0 ? (by > 0 ? 0 : visible.length - 1) : now + by];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "start" });
};

// The address remembers the button, the search and the boxes; returns what presses another button.
const listen = (apply, more) => {
  const [buttons, boxes] = [all("[data-show]"), all(".tools input[type=checkbox]")];
  const search = byId("search");
  let show = "";
  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    const named = (each) => each.dataset.show === state.get("show") && !each.hidden;
    const wanted = state.get("q") ?? "";
    show = (buttons.find(named) ?? buttons[0]).dataset.show;
    if (search.value.trim() !== wanted) search.value = wanted;
    for (const each of boxes) each.checked = state.get(each.id) === "1";
    press(buttons, (each) => each.dataset.show === show);
    apply(show, wanted);
  };
  const changed = (chosen) => {
    const state = new URLSearchParams(chosen === buttons[0].dataset.show ? {} : { show: chosen });
    if (search.value.trim()) state.set("q", search.value.trim());
    for (const each of boxes) if (each.checked) state.set(each.id, "1");
    history.replaceState(null, "", `#${state}`);
    recall();
  };
  const keys = { "/": () => search.focus(), j: () => step(1), k: () => step(-1), ...more };
  for (const each of buttons) each.addEventListener("click", () => changed(each.dataset.show));
  for (const each of [search, ...boxes]) each.addEventListener("input", () => changed(show));
  addEventListener("hashchange", recall);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches?.("input[type=search], input[type=text]")) {
      if (event.key !== "Escape") return;
      event.target.blur();
      if (event.target === search) search.value = "";
      changed(show);
    } else if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  document.querySelector(".tools").hidden = false;
  recall();
  return changed;
};

const PART = /\s+|(?:(?![\p{sc=Han}\p{sc=Hira}\p{sc=Kana}])[\p{L}\p{N}_])+|./gsu;
const MOST_CELLS = 4e6; // above it, marking takes longer than anybody reads

// Return two texts as nodes; what only one has, by the longest common subsequence, is in span.d.
const differences = (first, second) => {
  const [a, b] = [first, second].map((text) => text.match(PART) ?? []);
  if (a.length * b.length > MOST_CELLS) return [[first], [second]];
  const common = [...a, ""].map(() => new Uint16Array(b.length + 2));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i][j] = a[i] === b[j]
        ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const sides = [[], []];
  const put = (at, text, same) => sides[at].push(same ? text : make("span", { class: "d" }, text));
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    const same = a[i] === b[j];
    const ours = same || j === b.length || common[i + 1]?.[j] >= common[i][j + 1];
    if (ours) put(0, a[i++], same);
    if (same || !ours) put(1, b[j++], same);
  }
  return sides;
};
