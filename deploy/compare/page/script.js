{
  const [articles, diff] = [all("article"), byId("diff")];
  const texts = articles.map((each) =>
    plain(all(".text", each).map((text) => text.textContent).join("\n")));
  const mark = (sides) => {
    const pair = all(".text", sides);
    if (pair.length < 2 || all(".d", sides).length) return;
    const marked = differences(...pair.map((each) => each.textContent));
    pair.forEach((each, at) => each.replaceChildren(...marked[at]));
  };

  listen((show, wanted) => {
    const fits = finder(wanted);
    articles.forEach((each, at) => {
      each.hidden = !(each.dataset.is.split(" ").includes(show) && fits(texts[at]));
    });
    if (diff.checked) all("article:not([hidden]) .sides").forEach(mark);
    document.body.classList.toggle("diff", diff.checked);
    const visible = all("article:not([hidden])").length;
    byId("count").textContent = `${visible} of ${articles.length} shown`;
  }, { d: () => diff.click() });
  addEventListener("beforeprint", () => all("article details").forEach((each) => each.open = true));
}
