"use strict";
// What both forms of the page share. Text from the document is compared, and shown as
// text; it is never turned into HTML.
const page = (() => {
  const byId = (id) => document.getElementById(id);
  const fields = { q: "f-q", p: "f-p", k: "f-k", o: "f-o", s: "f-s" };
  const isFilter = (hash) => /^#[qpkos]=/.test(hash);

  // The filters stand in the address, so that a link shows what its sender sees.
  const read = () => {
    if (!isFilter(location.hash)) return false;
    const said = new URLSearchParams(location.hash.slice(1));
    for (const [key, id] of Object.entries(fields)) {
      const field = byId(id), value = said.get(key) || "";
      field.value = value;
      if (field.value !== value) field.value = ""; // no such choice
    }
    return true;
  };
  const write = () => {
    const said = new URLSearchParams();
    for (const [key, id] of Object.entries(fields)) if (byId(id).value) said.set(key, byId(id).value);
    const text = said.toString();
    if (text) history.replaceState(null, "", "#" + text);
    else if (isFilter(location.hash)) history.replaceState(null, "", location.pathname + location.search);
  };

  // start binds the form to apply, which shows what the fields ask for.
  const start = (form, apply) => {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => { apply(); write(); }, 0));
    let waiting = 0;
    form.addEventListener("input", () => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => { apply(); write(); });
    });
    addEventListener("hashchange", () => { if (read()) apply(); });
    form.hidden = false;
    read();
    apply();
  };

  const words = () => byId("f-q").value.toLowerCase().split(/\s+/).filter(Boolean);

  // buttons makes the heads of a table sort by them.
  const buttons = (heads, sort) => {
    for (const th of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const direction = th.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        th.setAttribute("aria-sort", direction);
        sort(th, direction === "ascending" ? 1 : -1);
      });
    }
  };

  // told says of a cell, when it is pointed at or chosen, how the privilege is held.
  const told = (grid, say) => {
    grid.addEventListener("mouseover", (event) => {
      const cell = event.target.closest("td");
      if (cell && !cell.title) {
        const text = say(cell);
        if (text) cell.title = text;
      }
    });
    grid.addEventListener("click", (event) => {
      const cell = event.target.closest("td");
      const text = cell ? say(cell) : "";
      if (text) byId("cell").textContent = text;
    });
  };

  // inherited says that a privilege is held from a source, as sections name it.
  const inherited = (source) => /^(inherited|from) /.test(source) ? source : "inherited through " + source;

  return { byId, start, inherited, words, buttons, told, isFilter, rank: "fsmbdi" };
})();
