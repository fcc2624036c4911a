// Making and renewing elements. Text is always set as text, so nothing from the data can become markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "path", "circle", "text", "tspan", "image", "title"]);

/**
 * h("p", {class: "why"}, "words", h("b", {}, "more")): an element; null and false children are left out. A link inside
 * a drawing is "svg:a", since HTML has links too.
 */
export function h(tag, attributes = {}, ...children) {
  const drawn = SVG_TAGS.has(tag) || tag.startsWith("svg:");
  const element = drawn ? document.createElementNS(SVG, tag.replace("svg:", "")) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const by = (id) => document.getElementById(id);

/** Set text only where it differs: what is selected or read aloud stays so. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Make the children of a container those of the items, in their order. An element is kept while its item's content is
 * the same, so nothing flickers and the focus stays.
 */
export function keyed(container, items, key, make) {
  const old = new Map([...container.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const name = String(key(item));
    const content = JSON.stringify(item);
    const known = old.get(name);
    if (known && known.seen === content) return known;
    const made = make(item, known === undefined);
    made.dataset.key = name;
    made.seen = content;
    return made;
  });
  wanted.forEach((element, index) => {
    if (container.children[index] !== element) container.insertBefore(element, container.children[index] ?? null);
  });
  while (container.children.length > wanted.length) container.lastElementChild.remove();
}

/** Buttons of which one is pressed. */
export function choice(container, options, chosen, choose) {
  container.replaceChildren(
    ...options.map(([value, label]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(value === chosen),
          "data-value": value,
          onclick: () => {
            for (const other of container.children)
              other.setAttribute("aria-pressed", String(other.dataset.value === String(value)));
            choose(value);
          },
        },
        label,
      ),
    ),
  );
}

/** Offer text as a file. */
export function download(name, text, type = "text/csv") {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Rows of plain values as CSV (RFC 4180); text that a spreadsheet would run as a formula is quoted as text. */
export function csv(columns, rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
