"use strict";
// Sorts and filters tables, shows values under the pointer and the facts of a number. The page is whole without it.
{
  const make = (tag, properties, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };

  // A number where a text begins with one, else the text.
  const valueOf = (cell) => {
    const text = cell.textContent.trim();
    const number = /^[-−]?[\d,]+(\.\d+)?/.exec(text);
    return number ? Number(number[0].replace("−", "-").replaceAll(",", "")) : text;
  };

  // Numbers first, the largest of them at the top; -1 turns numbers and texts round.
  const compare = (a, b, turn) => {
    const [x, y] = [valueOf(a), valueOf(b)];
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
    return turn * (typeof x === "number" ? y - x : x.localeCompare(y, "en", { numeric: true }));
  };

  const asButton = (cell, title, act) => {
    const button = make("button", { type: "button", title }, ...cell.childNodes);
    button.addEventListener("click", act);
    cell.append(button);
  };

  const turned = (cell) => {
    const turn = cell.getAttribute("aria-sort") === "descending" ? -1 : 1;
    for (const other of cell.closest("table").querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", turn === 1 ? "descending" : "ascending");
    return turn;
  };

  const sortRows = (table, heading) => {
    const turn = turned(heading);
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("way"));
      rows.sort((a, b) => compare(a.cells[heading.cellIndex], b.cells[heading.cellIndex], turn));
      body.append(...rows);
    }
  };

  const isVariant = (heading) => heading.cellIndex > 0 && !heading.classList.contains("count");

  const sortColumns = (table, label) => {
    const turn = turned(label);
    const places = [...table.tHead.rows[0].cells].filter(isVariant).map((heading) => heading.cellIndex);
    places.sort((a, b) => compare(label.parentElement.cells[a], label.parentElement.cells[b], turn));
    for (const row of table.rows) {
      if (row.classList.contains("way")) continue;
      const cells = [...row.cells];
      const end = cells[places.length + 1];
      for (const place of places) row.insertBefore(cells[place], end);
    }
  };

  const filter = (what, names, show) => {
    const input = make("input", { type: "search", placeholder: `only ${what} with …`, ariaLabel: `Filter ${what}` });
    const count = make("output", {});
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
      const kept = names().map((name) => !words.length || words.some((word) => name.toLowerCase().includes(word)));
      show(kept);
      count.textContent = words.length ? `${kept.filter(Boolean).length} of ${kept.length}` : "";
    });
    return make("p", { className: "filter" }, input, count);
  };

  const filterColumns = (table) => {
    const headings = () => [...table.tHead.rows[0].cells].filter(isVariant);
    return filter("columns", () => headings().map((heading) => heading.textContent), (kept) => {
      for (const row of table.rows) {
        if (!row.classList.contains("way")) kept.forEach((keep, i) => (row.cells[i + 1].hidden = !keep));
      }
    });
  };

  const filterRows = (table) => {
    const rows = () => [...table.tBodies[0].rows];
    return filter("rows", () => rows().map((row) => row.textContent), (kept) => {
      rows().forEach((row, i) => (row.hidden = !kept[i]));
    });
  };

  for (const table of document.querySelectorAll("table:not(.images)")) {
    for (const heading of table.tHead.rows[0].cells) {
      asButton(heading, "Sort by this column", () => sortRows(table, heading));
    }
    const around = table.parentElement;
    if (table.classList.contains("measured")) {
      for (const label of table.querySelectorAll("tbody th[scope=row]")) {
        asButton(label, "Order columns by this row", () => sortColumns(table, label));
      }
      around.before(filterColumns(table));
    } else if (table.matches(".cells, .cost")) {
      around.before(filterRows(table));
    }
  }

  const panel = document.body.appendChild(make("dialog", { className: "facts" }));
  const quoted = (word) => (/^[\w.+@%:,\/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

  // What the list of cells says of a number, what its marks mean, and the commands that show and repeat it.
  const showFacts = (cell, link) => {
    const facts = JSON.parse(cell.dataset.cell);
    const row = document.querySelector(link.getAttribute("href"));
    const titles = row.closest("table").tHead.rows[0].cells;
    const list = make("dl", {});
    [...row.cells].slice(1).forEach((one, i) => {
      list.append(make("dt", {}, titles[i + 1].textContent), make("dd", {}, one.textContent));
    });
    const seeds = [...row.lastElementChild.textContent.matchAll(/(\d+): /g)].map((found) => found[1]).join(",");
    const words = { METHOD: quoted(facts.variant), WAY: facts.n_way, SHOT: facts.n_shot, SEED: seeds };
    const repeat = document.getElementById("one-number")?.textContent ?? "";
    const commands = facts.keys.slice(0, 1).flatMap((key) => [`bench show ${key}`, `bench replay ${key}`]);
    commands.push(repeat.replace(/(?<=--(?:method|way|shot|seed) )[A-Z]+/g, (word) => words[word]));
    const marks = cell.querySelector("sup")?.textContent ?? "";
    const notes = [...cell.closest("section").querySelectorAll(".notes li")].filter((note) => {
      const mark = note.querySelector("b")?.textContent;
      return mark && marks.includes(mark);
    });
    const close = make("button", { type: "button", ariaLabel: "Close" }, "×");
    close.addEventListener("click", () => panel.close());
    panel.replaceChildren(
      close,
      make("h3", {}, row.cells[0].textContent),
      list,
      make("pre", {}, make("code", {}, commands.join("\n"))),
      ...notes.map((note) => make("p", {}, note.textContent)),
      make("p", {}, make("a", { href: link.getAttribute("href") }, "In the list of every cell")),
    );
    panel.close();
    panel.show();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("td[data-cell] a");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      showFacts(link.closest("td"), link);
    } else if (event.target.closest("dialog a")) {
      panel.close();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") panel.close();
  });

  const tip = document.body.appendChild(make("div", { id: "tip", hidden: true }));
  for (const point of document.querySelectorAll("svg .value")) {
    point.dataset.value = point.querySelector("title").textContent;
    point.querySelector("title").remove(); // the browser's own, slower one
  }

  const NEAR = 14; // pixels
  const near = (svg, x, y) => {
    const apart = (point) => {
      const box = point.getBoundingClientRect();
      return Math.hypot(box.x + box.width / 2 - x, box.y + box.height / 2 - y);
    };
    let [best, least] = [null, NEAR];
    for (const point of svg.querySelectorAll(".value")) {
      const distance = apart(point);
      if (distance < least) [best, least] = [point, distance];
    }
    return best?.dataset.value;
  };

  const told = (target, x, y) => {
    const cell = target.closest?.("td[data-cell]");
    if (cell) {
      const facts = JSON.parse(cell.dataset.cell);
      const shown = facts.shown ? `${facts.shown} %, n = ${facts.n}` : facts.state;
      return `${facts.variant} ${facts.n_way}-way ${facts.n_shot}-shot: ${shown}`;
    }
    const svg = target.closest?.("svg");
    return svg && near(svg, x, y);
  };

  document.addEventListener("pointermove", (event) => {
    const text = told(event.target, event.clientX, event.clientY);
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, room))}px`;
    tip.style.top = `${event.clientY + 18}px`;
  });
}
