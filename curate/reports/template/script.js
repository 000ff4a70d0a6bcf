{
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 4 });

  // A row as an article of the list, or as what stands beside the map.
  const cardOf = (row, data, tag = "article") => {
    const numbers = Object.entries(data.numbers).filter(([, values]) => values[row.place] !== null)
      .map(([name, values]) => make("span", {}, `${name} ${number(values[row.place])}`));
    const button = (word) =>
      make("button", { type: "button", "data-mark": word, "data-id": row.id }, word);
    const note = { type: "text", placeholder: "note", "aria-label": "note", "data-note": row.id };
    const pair = row.roles.flatMap((role, at) => ["chosen", "rejected"].includes(role) ? [at] : []);
    const marked = pair.length === 2 ? differences(...pair.map((at) => row.texts[at])) : [];
    const text = (at) => make("section", { class: row.roles[at] }, make("h4", {}, row.roles[at]),
      make("p", { class: "text", dir: "auto", lang: row.languages[at] },
        ...marked[pair.indexOf(at)] ?? [row.texts[at]]));
    return make(tag, { tabindex: "-1" },
      make("h3", { class: "facts" },
        make("span", { class: row.reason ? "badge" : "badge kept" }, row.reason || "kept"),
        row.control ? make("span", { class: "badge control" }, data.control) : "",
        ...numbers, make("bdi", {}, row.where), make("code", {}, row.id)),
      ...[...row.texts.keys()].filter((at) => !pair.includes(at)).map(text),
      make("div", { class: "sides diff" }, ...pair.map(text)),
      row.cut ? make("p", { class: "soft" }, `${number(row.cut)} characters are not here`) : "",
      make("div", { class: "filters marks" }, button("keep"), button("drop"), make("input", note)));
  };

  // What a person says of rows; the browser keeps it under the sha256 of the data.
  const marksOf = ({ name, sha256 }) => {
    const [key, said] = [`curate.marks.${sha256}`, { marks: {}, note: {} }];
    // Some browsers keep nothing for a file: then marks last until the page is closed.
    try { Object.assign(said, JSON.parse(localStorage.getItem(key))); } catch { }
    const ids = () => Object.keys({ ...said.marks, ...said.note });
    const paint = () => {
      byId("save").textContent = `save ${ids().length} mark${ids().length === 1 ? "" : "s"}`;
      byId("save").disabled = !ids().length;
      press(all("[data-mark]"), ({ dataset: { id, mark } }) => said.marks[id] === mark);
      const notes = all("[data-note]:not(:focus)");
      for (const each of notes) each.value = said.note[each.dataset.note] ?? "";
    };
    const set = (kind, id, value) => {
      if (value) said[kind][id] = value;
      else delete said[kind][id];
      try { localStorage.setItem(key, JSON.stringify(said)); } catch { }
      paint();
    };
    document.addEventListener("click", ({ target: { dataset: { id, mark } } }) => {
      if (mark) set("marks", id, said.marks[id] === mark ? "" : mark);
    });
    document.addEventListener("input", ({ target: { value, dataset: { note } } }) => {
      if (note) set("note", note, value.trim());
    });
    byId("save").addEventListener("click", () => {
      const file = new Blob([JSON.stringify({ of: { name, sha256 }, ...said }, null, 1)]);
      make("a", { href: URL.createObjectURL(file), download: `${name}.marks.json` }).click();
    });
    return { ids, paint };
  };

  const mapOf = (data, dots, show, choose) => {
    const [canvas, buttons] = [byId("map"), all("[data-colour]")];
    const [pen, size] = [canvas.getContext("2d"), dots.length > 4000 ? 3.2 : 6.4];
    let colouring = data.colourings[0], shown = [], held = false, lasso = [], width = 1, height = 1;
    const at = ([x, y]) => [x * width, y * height];
    const under = ({ offsetX, offsetY }) => [offsetX / width, offsetY / height];
    const stroke = (ink, width, path) => {
      [pen.strokeStyle, pen.lineWidth, pen.lineCap] = [ink, width, "round"];
      pen.stroke(new Path2D(path));
    };
    const points = (rows) => rows.map(({ spot }) => `M${at(spot)}h.01`).join("");
    const draw = (by) => {
      colouring = data.colourings[by] ?? colouring;
      const ink = (name) => getComputedStyle(canvas).getPropertyValue(`--${name}`);
      [width, height] = [canvas.clientWidth, canvas.clientHeight];
      [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
      pen.scale(devicePixelRatio, devicePixelRatio);
      byId("legend").replaceChildren(...colouring.legend.map(([name, meaning], layer) => {
        const swatch = make("span", { class: "swatch" });
        swatch.style.background = ink(name);
        stroke(ink(name), size, points(dots.filter(({ place }) => colouring.of[place] === layer)));
        return make("span", {}, swatch, make("bdi", {}, meaning));
      }).reverse());
      stroke(ink("ink"), size + 4, points(shown));
      stroke(ink("ink"), 2, `M${lasso.map(at).join("L")}Z`);
      press(buttons, (each) => data.colourings[each.dataset.colour] === colouring);
    };
    const look = (event) => {
      const [x, y] = under(event);
      const away = ({ spot }) => Math.hypot((spot[0] - x) * width, (spot[1] - y) * height);
      const near = dots.reduce((one, row) => away(row) < (one ? away(one) : 16) ? row : one, null);
      if (near && near !== shown[0]) show(near);
      shown = near ? [near] : shown;
      return near !== null;
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      lasso = event.pointerType === "touch" ? [] : [under(event)];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons && lasso.length) lasso.push(under(event));
      if (event.buttons || (!held && look(event))) draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      const outline = new Path2D(`M${lasso.join("L")}Z`);
      pen.resetTransform();
      const inside = dots.filter(({ spot }) => pen.isPointInPath(outline, ...spot));
      if (lasso.length > 4 && inside.length) return choose(inside.map(({ place }) => place));
      lasso = [];
      held = look(event);
      draw();
    });
    for (const each of buttons) each.addEventListener("click", () => draw(each.dataset.colour));
    new ResizeObserver(() => draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
    matchMedia("print").addEventListener("change", () => draw());
    draw();
  };

  const start = (data) => {
    const rows = data.rows.id.map((_, place) => ({ place }));
    for (const name in data.rows) rows.forEach((row, at) => { row[name] = data.rows[name][at]; });
    const views = new Map(data.views);
    const { ids, paint } = marksOf(data);
    const [list, more, slider] = [byId("list"), byId("more"), byId("budget")];
    const cards = (places, tag) => places.map((place) => cardOf(rows[place], data, tag));
    const put = (id, places) => {
      byId(id).replaceChildren(...cards(places, "div"));
      paint();
    };
    const textOf = (row) => row.plain ??= plain([row.id, row.where, ...row.texts].join("\n"));
    let found = [];
    const fill = (count) => {
      list.replaceChildren(...cards(found.slice(0, count)));
      more.hidden = found.length <= count;
      byId("count").textContent = `${number(list.children.length)} of ${number(found.length)}`;
      paint();
    };
    const mark = (word) => all(`article:focus-within [data-mark=${word}]`)[0]?.click();
    const choose = listen((show, wanted) => {
      const [marked, fits] = [new Set(ids()), finder(wanted)];
      views.set("marked", [...rows.keys()].filter((place) => marked.has(rows[place].id)));
      found = (views.get(show) ?? []).filter((place) => !wanted || fits(textOf(rows[place])));
      fill(5);
    }, { y: () => mark("keep"), n: () => mark("drop") });
    more.addEventListener("click", () => {
      const next = list.children.length;
      fill(next + 20);
      list.children[next].focus();
    });
    addEventListener("hashchange", () => byId("rows").scrollIntoView());
    addEventListener("beforeprint", () => list.replaceChildren(...data.views.flatMap(
      ([, places, label]) => [make("h3", {}, label), ...cards(places.slice(0, 5))])));
    addEventListener("afterprint", () => fill(5));
    if (byId("map")) {
      mapOf(data, rows.filter((row) => row.spot), ({ place }) => put("card", [place]), (places) => {
        views.set("area", places);
        byId("area").textContent = `in the area ${number(places.length)}`;
        byId("area").hidden = false;
        choose("area");
      });
    }
    const tell = () => {
      const [keeps, edge] = data.budgets[slider.value];
      byId("budget-keeps").textContent = keeps;
      put("edge", edge < 0 ? [] : [edge]);
    };
    slider?.addEventListener("input", tell);
    if (slider) tell();
    document.body.dataset.ready = "1";
  };

  unpacked().then(start).catch((error) => byId("list").replaceChildren(
    make("p", { class: "finding" }, `This browser cannot show the rows: ${error.message}`)));
}
