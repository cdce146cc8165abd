// The page of very many principals: what is seen of them is drawn, the rest stays data.
(() => {
  const { byId, words, rank } = page;
  const form = byId("filters"), grid = byId("grid"), list = byId("list"), scroll = grid.parentElement;
  const data = JSON.parse(byId("data").textContent);
  const fixed = 4; // columns before the privileges
  const heads = Array.from(grid.tHead.rows[0].cells);
  const columns = data.columns, lower = columns.map((name) => name.toLowerCase());
  const classes = { x: "f", y: "f", t: "s" }; // x, y and t also say how it is held: see stateOf in page_data.go
  const classOf = (state) => classes[state] || state;
  const word = (i) => data.words[i || 0];
  const entries = data.principals.map((e, at) => ({
    ...e, at, kind: word(e.k), outcome: word(e.o), name: e.n, states: e.s || "",
    classes: new Set([...(e.s || "")].map(classOf)),
    text: `${e.n} ${e.l || ""} ${e.i || ""} ${word(e.k)} ${word(e.d)}`.toLowerCase(),
  }));
  document.documentElement.classList.add("live");

  const make = (name, attributes, ...children) => {
    const e = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") e.className = value;
      else if (value !== undefined) e.setAttribute(key, value);
    }
    e.append(...children.filter((c) => c !== undefined && c !== ""));
    return e;
  };
  const bdi = (text) => make("bdi", {}, text);

  const groupsOf = (e, column) => (data.profiles[e.p] || []).filter((from) => from[1].includes(column)).map((from) => data.groups[from[0]]);
  const said = { d: "granted directly", m: "missing: the policy grants it", s: "surplus: the policy revokes it", f: "forbidden, yet held", t: "surplus: the policy revokes it", x: "forbidden, yet held", y: "forbidden, yet held" };
  const howHeld = (e, column) => {
    const state = e.states[column];
    if (!state || state === ".") return "";
    const parts = said[state] ? [said[state]] : state === "b" ? ["granted directly"] : [];
    const groups = groupsOf(e, column);
    if (groups.length > 0) parts.push(...groups.map(page.inherited));
    else if ("ibfty".includes(state)) parts.push("inherited through groups");
    return `${e.name}: ${columns[column]}: ${parts.join("; ")}`;
  };

  let visible = columns.map((_, i) => i);
  let shown = entries, order = null, sign = 1;
  let first = -1, last = -1;
  const rowHeight = 24;

  const row = (e) => {
    const name = make("a", { href: "#" + e.a }, bdi(e.n));
    name.addEventListener("click", (event) => { event.preventDefault(); open(e.at); });
    const tr = make("tr", {}, make("th", { scope: "row" }, name, ...(e.l ? [" ", make("small", {}, bdi(e.l))] : [])),
      make("td", {}, e.kind), make("td", { class: "o " + word(e.t) }, e.outcome), make("td", { class: "num" }, e.h < 0 ? "?" : String(e.h)));
    tr.dataset.at = e.at;
    if (e.h < 0) {
      tr.append(make("td", { class: "u", colspan: String(Math.max(1, visible.length)) }, "not known"));
      return tr;
    }
    for (const i of visible) {
      const state = e.states[i];
      const td = document.createElement("td");
      if (state && state !== ".") {
        td.className = classOf(state);
        td.textContent = td.className.toUpperCase();
      }
      td.dataset.c = i;
      tr.append(td);
    }
    return tr;
  };

  // draw draws the rows that are seen, and room for the others.
  const draw = (anew) => {
    const height = scroll.clientHeight || 600;
    const from = Math.max(0, Math.floor(scroll.scrollTop / rowHeight) - 10);
    const to = Math.min(shown.length, from + Math.ceil(height / rowHeight) + 30);
    if (!anew && from >= first && to <= last) return;
    first = Math.max(0, from - 20);
    last = Math.min(shown.length, to + 20);
    const room = (rows) => {
      const tr = make("tr", { class: "room", "aria-hidden": "true" }, make("td", { colspan: String(fixed + Math.max(1, visible.length)) }));
      tr.firstChild.style.height = rows * rowHeight + "px";
      return tr;
    };
    const all = document.createDocumentFragment();
    if (first > 0) all.append(room(first));
    for (const e of shown.slice(first, last)) all.append(row(e));
    if (last < shown.length) all.append(room(shown.length - last));
    grid.tBodies[0].replaceChildren(all);
  };

  const note = (n) => {
    const li = make("li", { class: word(n[0]) }, make("strong", {}, word(n[0])), " ", make("code", {}, word(n[1])));
    if (n[2]) li.append(" ", bdi(n[2]));
    if (n[3]) li.append(": " + n[3]);
    return li;
  };
  const article = (e) => {
    const calm = e.c === 1;
    const about = [make("span", {}, e.kind)];
    if (e.l) about.push(" · login ", bdi(e.l));
    if (e.i) about.push(" · ", make("code", { class: "id" }, e.i));
    for (const more of [e.r, word(e.d), e.f]) if (more) about.push(" · " + more);
    const section = make("article", { id: e.a, class: calm ? "calm" : "", "aria-labelledby": e.a + "h", tabindex: "-1" },
      make("h3", { id: e.a + "h" }, bdi(e.n), " ", make("span", { class: "badge " + word(e.t) }, e.outcome)),
      make("p", { class: "about" }, ...about));
    if (e.e) section.append(make("p", { class: "alarm bad" }, make("strong", {}, "Error:"), " " + e.e));
    if (e.x) section.append(make("ul", { class: "changes", "aria-label": "Changes" }, ...e.x.map((c) =>
      make("li", { class: word(c[0]) }, make("strong", {}, word(c[1])), " ", bdi(c[2]), " ", make("span", { class: "why" }, c[3])))));
    if (e.w) section.append(make("ul", { class: "notes", "aria-label": "Findings" }, ...e.w.map(note)));
    if (e.h < 0) section.append(make("p", {}, "What it holds is not known."));
    else if (e.h === 0 && !e.states.includes("m")) section.append(make("p", {}, "Holds nothing."));
    else {
      const node = (kind, label, ids) => make("li", { class: kind }, make("span", { class: "node" }, bdi(label), " ", make("small", {}, String(ids.length))),
        make("ul", {}, ...ids.map((i) => make("li", { class: classOf(e.states[i]) }, columns[i]))));
      const having = (states) => columns.map((_, i) => i).filter((i) => e.states[i] && states.includes(e.states[i]));
      const graph = make("ul", { class: "graph" });
      const direct = having("dbstxy"), missing = having("m");
      if (direct.length > 0) graph.append(node("direct", "direct grants", direct));
      for (const [g, ids] of data.profiles[e.p] || []) graph.append(node("group", data.groups[g], ids));
      if (missing.length > 0) graph.append(node("none", "missing", missing));
      const details = make("details", calm ? {} : { open: "" }, make("summary", {}, `Holds ${e.h}, ${e.b || 0} of them directly`), graph);
      section.append(details);
    }
    return section;
  };

  const step = 30; // sections at a time
  let listed = 0;
  const more = byId("more");
  const drawSections = (until) => {
    const all = document.createDocumentFragment();
    for (const e of shown.slice(listed, until)) all.append(article(e));
    listed = Math.min(until, shown.length);
    list.append(all);
    more.hidden = listed >= shown.length;
    more.textContent = `Show ${Math.min(step, shown.length - listed)} more of ${shown.length - listed}`;
  };
  more.addEventListener("click", () => drawSections(listed + step));

  // open shows the section of one principal, whether the filters let it through or not.
  const open = (at) => {
    const e = entries[at];
    let section = byId(e.a);
    if (!section) {
      section = article(e);
      list.prepend(section);
    }
    section.scrollIntoView();
    section.focus({ preventScroll: true });
  };

  const columnHidden = new CSSStyleSheet();
  document.adoptedStyleSheets = [columnHidden];
  const apply = () => {
    const q = words(), kind = byId("f-k").value, outcome = byId("f-o").value, states = byId("f-s").value;
    const wanted = byId("f-p").value.trim().toLowerCase();
    visible = columns.map((_, i) => i).filter((i) => !wanted || lower[i].includes(wanted));
    const seen = new Set(visible);
    while (columnHidden.cssRules.length > 0) columnHidden.deleteRule(0);
    const hidden = columns.map((_, i) => i).filter((i) => !seen.has(i)).map((i) => `#grid thead th:nth-child(${i + fixed + 1})`);
    if (hidden.length > 0) columnHidden.insertRule(hidden.join(",") + "{display:none}");
    const holds = (e) => {
      if (!states) return true;
      if (visible.length === columns.length) return [...states].some((s) => e.classes.has(s));
      return visible.some((i) => e.states[i] && states.includes(classOf(e.states[i])));
    };
    shown = entries.filter((e) => q.every((w) => e.text.includes(w)) && (!kind || e.kind === kind) && (!outcome || e.outcome === outcome) && holds(e));
    if (order) shown.sort((a, b) => sign * order(a, b));
    byId("none").hidden = shown.length > 0;
    byId("shown").textContent = `${shown.length} of ${entries.length} principals and ${visible.length} of ${columns.length} privileges shown.`;
    scroll.scrollTop = 0;
    draw(true);
    list.replaceChildren();
    listed = 0;
    drawSections(step);
  };

  const compare = {
    name: (a, b) => a.name.localeCompare(b.name),
    kind: (a, b) => a.kind.localeCompare(b.kind),
    outcome: (a, b) => a.outcome.localeCompare(b.outcome),
    held: (a, b) => a.h - b.h,
  };
  page.buttons(heads, (th, direction) => {
    const column = heads.indexOf(th) - fixed;
    const at = (e) => {
      const n = e.states[column] ? rank.indexOf(classOf(e.states[column])) : -1;
      return n < 0 ? rank.length : n;
    };
    order = compare[th.dataset.sort] || ((a, b) => at(a) - at(b));
    sign = direction;
    shown.sort((a, b) => sign * order(a, b));
    scroll.scrollTop = 0;
    draw(true);
  });
  page.told(grid, (cell) => cell.dataset.c === undefined ? "" : howHeld(entries[cell.parentElement.dataset.at], Number(cell.dataset.c)));
  let waiting = 0;
  scroll.addEventListener("scroll", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => draw(false));
  });
  addEventListener("resize", () => draw(false));
  const jump = () => {
    const id = location.hash.slice(1), at = entries.findIndex((e) => e.a === id);
    if (at >= 0) open(at);
  };
  addEventListener("hashchange", jump);
  page.start(form, apply);
  jump();
})();
