// A map of our own in SVG: outlines of land, tiles if configured, and the stations. Web Mercator, so that tiles fit.
import { address } from "./api.js";
import { h } from "./dom.js";

const TILE = 256;
const LARGEST = 2 ** 12;
const tiles = document.documentElement.dataset.tiles;

/** World coordinates: x and y from 0 to 1, y southwards. */
export function mercator(longitude, latitude) {
  const sine = Math.sin((Math.max(-85, Math.min(85, latitude)) * Math.PI) / 180);
  return [longitude / 360 + 0.5, 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)];
}

/** Stations: [{id, name, longitude, latitude}]; the look of each comes with `paint`. */
export class StationMap {
  constructor(box, link) {
    this.box = box;
    this.link = link;
    this.land = h("g", {});
    this.tiles = h("g", {});
    this.places = h("g", {});
    this.svg = h("svg", { role: "group", "aria-label": "Map of the stations" }, this.land, this.tiles, this.places);
    const button = (label, words, act) => h("button", { type: "button", "aria-label": words, onclick: act }, label);
    box.append(
      this.svg,
      h(
        "div",
        { class: "zoom" },
        button("+", "Zoom in", () => this.zoom(2)),
        button("−", "Zoom out", () => this.zoom(0.5)),
        button("⌂", "All stations", () => this.fit()),
      ),
    );
    this.stations = [];
    this.view = null;
    this.looks = new Map();
    this.draggable();
    new ResizeObserver(() => this.draw()).observe(box);
    this.outline();
  }

  async outline() {
    const collection = await (await fetch(address("/dashboard/static/land.json"))).json();
    for (const feature of collection.features) {
      const { type, coordinates } = feature.geometry;
      const lines = type === "MultiPolygon" ? coordinates.flat() : coordinates;
      const path = lines
        .map(
          (line) =>
            "M" +
            line
              .map((point) =>
                mercator(...point)
                  .map((value) => (value * 1000).toFixed(3))
                  .join(" "),
              )
              .join("L") +
            (type === "MultiPolygon" ? "Z" : ""),
        )
        .join("");
      this.land.append(h("path", { d: path, class: feature.properties.what }));
    }
    this.draw();
  }

  /** Show these stations; the view is fitted the first time, and when others appear. */
  show(stations, looks) {
    const names = (list) => list.map((station) => station.id).join();
    const changed = names(stations) !== names(this.stations);
    this.stations = stations;
    this.looks = looks;
    if (changed || !this.view) this.fit();
    else this.draw();
  }

  fit() {
    const points = this.stations.map((station) => mercator(station.longitude, station.latitude));
    if (!points.length) points.push([0.15, 0.25], [0.85, 0.6]);
    const [left, right] = [Math.min(...points.map((p) => p[0])), Math.max(...points.map((p) => p[0]))];
    const [top, bottom] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
    const { clientWidth: width, clientHeight: height } = this.box;
    const least = 0.0035; // about a degree, so that stations of one town do not fill the map with nothing
    const scale = Math.min(
      (width - 130) / Math.max(right - left, least),
      (height - 90) / Math.max(bottom - top, least),
    );
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, scale };
    this.draw();
  }

  zoom(factor, [x, y] = [this.box.clientWidth / 2, this.box.clientHeight / 2]) {
    const [wx, wy] = this.world(x, y);
    this.view.scale = Math.max(200, Math.min(LARGEST * TILE, this.view.scale * factor));
    const [nx, ny] = this.world(x, y);
    this.view.x += wx - nx;
    this.view.y += wy - ny;
    this.draw();
  }

  world(x, y) {
    return [
      this.view.x + (x - this.box.clientWidth / 2) / this.view.scale,
      this.view.y + (y - this.box.clientHeight / 2) / this.view.scale,
    ];
  }

  screen([x, y]) {
    return [
      (x - this.view.x) * this.view.scale + this.box.clientWidth / 2,
      (y - this.view.y) * this.view.scale + this.box.clientHeight / 2,
    ];
  }

  draggable() {
    let from = null;
    this.svg.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = this.svg.getBoundingClientRect();
        this.zoom(event.deltaY < 0 ? 1.25 : 0.8, [event.clientX - box.left, event.clientY - box.top]);
      },
      { passive: false },
    );
    this.svg.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, y: event.clientY, view: { ...this.view }, moved: false };
    });
    addEventListener("pointermove", (event) => {
      if (!from) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      from.moved ||= Math.hypot(dx, dy) > 4;
      if (!from.moved) return;
      this.svg.classList.add("dragged");
      this.view.x = from.view.x - dx / this.view.scale;
      this.view.y = from.view.y - dy / this.view.scale;
      this.draw();
    });
    addEventListener("pointerup", () => {
      const moved = from?.moved;
      from = null;
      this.svg.classList.remove("dragged");
      if (moved) this.svg.addEventListener("click", (event) => event.preventDefault(), { capture: true, once: true });
    });
    this.svg.addEventListener("dragstart", (event) => event.preventDefault());
  }

  draw() {
    if (!this.view || !this.box.clientWidth) return;
    const { scale } = this.view;
    const [x0, y0] = this.screen([0, 0]);
    this.land.setAttribute("transform", `translate(${x0} ${y0}) scale(${scale / 1000})`);
    if (tiles) this.drawTiles();
    this.drawPlaces();
  }

  drawTiles() {
    const level = Math.max(0, Math.min(18, Math.round(Math.log2(this.view.scale / TILE))));
    const count = 2 ** level;
    const size = this.view.scale / count;
    const [left, top] = this.world(0, 0).map((value) => Math.floor(value * count));
    const [right, bottom] = this.world(this.box.clientWidth, this.box.clientHeight).map((value) =>
      Math.floor(value * count),
    );
    const wanted = [];
    for (let x = left; x <= right; x++) {
      for (let y = Math.max(top, 0); y <= Math.min(bottom, count - 1); y++) {
        const [sx, sy] = this.screen([x / count, y / count]);
        const source = tiles
          .replace("{z}", level)
          .replace("{x}", ((x % count) + count) % count)
          .replace("{y}", y);
        wanted.push(h("image", { href: source, x: sx, y: sy, width: size + 0.5, height: size + 0.5 }));
      }
    }
    this.tiles.replaceChildren(...wanted);
  }

  drawPlaces() {
    const taken = [];
    const width = this.box.clientWidth;
    const free = (box) =>
      box.x > 2 &&
      box.x + box.w < width - 2 &&
      !taken.some(
        (other) =>
          box.x < other.x + other.w && other.x < box.x + box.w && box.y < other.y + other.h && other.y < box.y + box.h,
      );
    const known = new Map([...this.places.children].map((place) => [place.dataset.id, place]));
    const order = [...this.stations].sort(
      (a, b) => Number(this.looks.get(b.id).suspect) - Number(this.looks.get(a.id).suspect),
    );
    for (const station of order) {
      const [x, y] = this.screen(mercator(station.longitude, station.latitude));
      taken.push({ x: x - 8, y: y - 8, w: 16, h: 16 });
    }
    const wanted = order.map((station) => {
      const look = this.looks.get(station.id);
      const [x, y] = this.screen(mercator(station.longitude, station.latitude));
      // The value, and the name where there is room: on the right, else on the left, else none.
      const sides = [
        [11, "start"],
        [-11, "end"],
      ];
      let label = null;
      for (const [text, named] of [
        [`${look.text} ${station.name}`, true],
        [look.text, false],
      ]) {
        const long = text.length * 6.6 + 4;
        const side = sides.find(([dx, anchor]) =>
          free({ x: anchor === "start" ? x + dx : x + dx - long, y: y - 8, w: long, h: 16 }),
        );
        if (side) {
          const [dx, anchor] = side;
          taken.push({ x: anchor === "start" ? x + dx : x + dx - long, y: y - 8, w: long, h: 16 });
          label = { dx, anchor, named };
          break;
        }
      }
      const content = JSON.stringify([look, label]);
      let place = known.get(station.id);
      if (!place || place.content !== content) {
        place?.remove();
        place = this.place(station, look, label);
        place.content = content;
      }
      place.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      known.delete(station.id);
      return place;
    });
    for (const gone of known.values()) gone.remove();
    for (const place of wanted) if (place.parentNode !== this.places) this.places.append(place);
  }

  place(station, look, label) {
    const words = `${station.name}: ${look.words}`;
    const mark =
      look.angle === null
        ? h("circle", { r: 7, fill: look.colour })
        : h(
            "g",
            {},
            h("circle", { r: 5, fill: look.colour }),
            h("path", {
              d: "M0 15 L0 -15 M0 15 L-4 8 M0 15 L4 8",
              stroke: look.colour,
              "stroke-width": 2.2,
              fill: "none",
              transform: `rotate(${look.angle})`,
            }),
          );
    const text =
      label &&
      h(
        "text",
        { x: label.dx, y: 4, "text-anchor": label.anchor },
        look.text,
        label.named ? h("tspan", { class: "name", dx: 5 }, station.name) : null,
      );
    return h(
      "g",
      { class: look.suspect ? "place suspect" : "place", "data-id": station.id },
      h("svg:a", { href: this.link(station.id), "aria-label": words }, h("title", {}, words), mark, text),
    );
  }
}
