"use strict";
// Tables sort by a click on a heading: up, down, as they came. Without this script they are in the order of the report.
for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort || "none"];
      for (const other of heads) other.ariaSort = "none";
      head.ariaSort = next;
      const key = (row) => {
        const cell = row.cells[column];
        if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
        return head.classList.contains("num") ? null : cell.textContent;
      };
      const sign = next === "descending" ? -1 : 1;
      const rows = original.slice();
      if (next !== "none") {
        rows.sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          // Rows without a figure stay at the end either way.
          if (x === null || y === null) return (x === null) - (y === null);
          if (typeof x === "number" && typeof y === "number") return sign * (x - y);
          return sign * String(x).localeCompare(String(y), "en", { numeric: true });
        });
      }
      table.classList.toggle("sorted", next !== "none");
      body.append(...rows);
    });
  });
}
// Print shows what is folded.
const folded = () => document.querySelectorAll("details:not([open])");
let opened = [];
addEventListener("beforeprint", () => {
  opened = Array.from(folded());
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});
