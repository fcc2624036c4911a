// Creates and updates DOM elements. Text is always set as text content, so data cannot become markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "path", "circle", "text", "tspan", "image", "title"]);

/**
 * h("p", {class: "reason"}, "text", h("b", {}, "more")) creates an element; null, undefined and false children are skipped.
 * Use the tag "svg:a" for a link inside an SVG, because HTML has <a> too.
 */
export function h(tag, attributes = {}, ...children) {
  const isSvg = SVG_TAGS.has(tag) || tag.startsWith("svg:");
  const element = isSvg ? document.createElementNS(SVG, tag.replace("svg:", "")) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Set text only if it differs, so that selections are kept and screen readers do not repeat it. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Make the children of a container match a list of items. An element is kept while its item is unchanged, so that
 * nothing flickers and the focus stays. create(item, isNew) returns the element of an item.
 */
export function renderList(container, items, keyOf, create) {
  const existing = new Map([...container.children].map((child) => [child.dataset.key, child]));
  const elements = items.map((item) => {
    const key = String(keyOf(item));
    const content = JSON.stringify(item);
    const previous = existing.get(key);
    if (previous && previous.content === content) return previous;
    const element = create(item, previous === undefined);
    element.dataset.key = key;
    element.content = content;
    return element;
  });
  elements.forEach((element, index) => {
    if (container.children[index] !== element) container.insertBefore(element, container.children[index] ?? null);
  });
  while (container.children.length > elements.length) container.lastElementChild.remove();
}

/** Buttons of which exactly one is pressed. options: [[value, label], ...]. */
export function renderButtonGroup(container, options, selected, onSelect) {
  container.replaceChildren(
    ...options.map(([value, label]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(value === selected),
          "data-value": value,
          onclick: () => {
            for (const button of container.children)
              button.setAttribute("aria-pressed", String(button.dataset.value === String(value)));
            onSelect(value);
          },
        },
        label,
      ),
    ),
  );
}

/** A definition list with one term, a figure and a note below it. */
export function summaryTile(label, figure, note, className = "") {
  return h(
    "div",
    {},
    h(
      "dl",
      { style: "margin: 0" },
      h("dt", {}, label),
      h("dd", { class: `figure ${className}` }, ...[figure].flat()),
      h("dd", { class: "below" }, note),
    ),
  );
}

/** Let the user save a Blob as a file. */
export function saveFile(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Rows of values as CSV (RFC 4180). Text that a spreadsheet would evaluate as a formula is quoted. */
export function toCsv(columns, rows) {
  const toField = (value) => {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(toField).join(",")).join("\r\n") + "\r\n";
}
