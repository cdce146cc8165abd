// The page is whole without this script: it only filters and sorts what stands
// there.
(() => {
  const { byId, words, rank } = page;
  const grid = byId("grid");
  const form = byId("filters");
  if (!grid || !form) return;
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
  const ofRow = new Map(entries.filter((e) => e.row).map((e) => [e.row, e]));

  // Columns are hidden by one rule in a style sheet of the script's own: with
  // hundreds of rows that is much faster than hiding their cells.
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
    const q = words();
    const kind = byId("f-k").value;
    const outcome = byId("f-o").value;
    const states = byId("f-s").value;
    showColumns(byId("f-p").value.trim().toLowerCase());
    let shown = 0;
    for (const e of entries) {
      const hit = q.every((w) => e.text.includes(w)) && (!kind || e.kind === kind) &&
        (!outcome || e.outcome === outcome) && holds(e, states, visible);
      if (hit) shown++;
      e.section.hidden = !hit;
      if (e.row) e.row.hidden = !hit;
    }
    byId("none").hidden = shown > 0;
    byId("shown").textContent = `${shown} of ${entries.length} principals and ${visible.length} of ${privileges.length} privileges shown.`;
  };

  // How a privilege is held stands in the section of the principal, by group.
  const said = { m: "missing: the policy grants it", s: "surplus: the policy revokes it", f: "forbidden, yet held" };
  page.told(grid, (cell) => {
    const e = ofRow.get(cell.parentElement);
    if (!e || cell.cellIndex < fixed || !cell.className || cell.hasAttribute("colspan")) return "";
    const name = heads[cell.cellIndex].title;
    const ways = said[cell.className] ? [said[cell.className]] : [];
    for (const from of e.section.querySelectorAll(".graph > li:not(.none)")) {
      const holdsIt = [...from.querySelectorAll("ul > li")].some((li) => li.textContent === name || li.textContent === "privilege " + name.split(" ")[0]);
      if (holdsIt) ways.push(from.classList.contains("direct") ? "granted directly" : page.inherited(from.querySelector(".node bdi").textContent));
    }
    return `${e.name}: ${name}: ${ways.join("; ")}`;
  });

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
  page.buttons(heads, (th, sign) => {
    const order = compare[th.dataset.sort] || byState(heads.indexOf(th));
    const rows = entries.filter((e) => e.row);
    rows.sort((a, b) => sign * order(a, b));
    const all = document.createDocumentFragment();
    for (const e of rows) all.append(e.row);
    body.append(all);
  });
  page.start(form, apply);
})();
