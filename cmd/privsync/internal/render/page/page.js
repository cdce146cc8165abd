"use strict";
// The page is whole without this script: it only filters and sorts what stands
// there. Text from the document is compared, never turned into HTML.
(() => {
  const grid = document.getElementById("grid");
  const form = document.getElementById("filters");
  if (!grid || !form) return;
  const byId = (id) => document.getElementById(id);
  const fixed = 4; // columns before the privileges
  const body = grid.tBodies[0];
  const heads = Array.from(grid.tHead.rows[0].cells);
  const privileges = heads.slice(fixed).map((th) => th.title.toLowerCase());
  const inMatrix = new Map(Array.from(body.rows, (row) => [row.cells[0].firstElementChild.hash.slice(1), row]));

  const entries = Array.from(document.querySelectorAll("#principals > article"), (section) => {
    const row = inMatrix.get(section.id) || null;
    const name = section.querySelector("h3 bdi").textContent;
    const about = section.querySelector(".about");
    return {
      section, row, name,
      text: (name + " " + (row ? row.cells[0].textContent : "") + " " + about.textContent).toLowerCase(),
      kind: row ? row.cells[1].textContent : "",
      outcome: section.querySelector("h3 .badge").textContent,
      held: row ? Number.parseInt(row.cells[3].textContent, 10) || 0 : 0,
      states: row ? row.dataset.s : "",
    };
  });

  // Columns are hidden by one rule in a style sheet of the script's own: with
  // thousands of rows that is much faster than hiding their cells.
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [sheet];
  let visible = privileges.map((_, i) => i);

  const showColumns = (wanted) => {
    visible = [];
    const hidden = [];
    privileges.forEach((name, i) => {
      if (!wanted || name.includes(wanted)) visible.push(i);
      else hidden.push(`#grid tr > :nth-child(${i + fixed + 1}):not([colspan])`);
    });
    while (sheet.cssRules.length > 0) sheet.deleteRule(0);
    if (hidden.length > 0) sheet.insertRule(hidden.join(",") + "{display:none}");
  };

  const holds = (entry, states, columns) => {
    if (!states) return true;
    if (![...states].some((s) => entry.states.includes(s))) return false;
    if (columns.length === privileges.length || !entry.row) return true;
    return columns.some((i) => {
      const cell = entry.row.cells[i + fixed];
      return cell && cell.className !== "" && states.includes(cell.className);
    });
  };

  const apply = () => {
    const words = byId("f-q").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = byId("f-k").value;
    const outcome = byId("f-o").value;
    const states = byId("f-s").value;
    showColumns(byId("f-p").value.trim().toLowerCase());
    let shown = 0;
    for (const e of entries) {
      const hit = words.every((w) => e.text.includes(w)) && (!kind || e.kind === kind) &&
        (!outcome || e.outcome === outcome) && holds(e, states, visible);
      if (hit) shown++;
      e.section.hidden = !hit;
      if (e.row) e.row.hidden = !hit;
    }
    byId("none").hidden = shown > 0;
    byId("shown").textContent = `${shown} of ${entries.length} principals and ${visible.length} of ${privileges.length} privileges shown.`;
  };

  const rank = "fsmbdi"; // what needs a person first
  const compare = {
    name: (a, b) => a.name.localeCompare(b.name),
    kind: (a, b) => a.kind.localeCompare(b.kind),
    outcome: (a, b) => a.outcome.localeCompare(b.outcome),
    held: (a, b) => a.held - b.held,
  };
  const byState = (column) => {
    const at = (e) => {
      const cell = e.row.cells[column];
      const n = cell && cell.className ? rank.indexOf(cell.className) : -1;
      return n < 0 ? rank.length : n;
    };
    return (a, b) => at(a) - at(b);
  };

  const sort = (th) => {
    const direction = th.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", direction);
    const order = compare[th.dataset.sort] || byState(heads.indexOf(th));
    const sign = direction === "ascending" ? 1 : -1;
    const rows = entries.filter((e) => e.row);
    rows.sort((a, b) => sign * order(a, b));
    const all = document.createDocumentFragment();
    for (const e of rows) all.append(e.row);
    body.append(all);
  };

  for (const th of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => sort(th));
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply, 0));
  let waiting = 0;
  form.addEventListener("input", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(apply);
  });
  form.hidden = false;
  apply();
})();
