// A station map in SVG: coastlines, map tiles if configured, and stations. Web Mercator projection, as used by tiles.
import { urlFor } from "./api.js";
import { h } from "./dom.js";
import { LAND_SIZE, landPaths } from "./land_paths.js";
import { mercator } from "./mercator.js";

const TILE_SIZE = 256;
const MAX_SCALE = 2 ** 12 * TILE_SIZE;
const LABEL_CHAR_WIDTH = 6.6;
const tileUrl = document.documentElement.dataset.tiles;

/** Shows stations as links to urlOf(station id); see show(). */
export class StationMap {
  constructor(box, urlOf) {
    this.box = box;
    this.urlOf = urlOf;
    this.land = h("g", {});
    this.tiles = h("g", {});
    this.markers = h("g", {});
    this.svg = h("svg", { role: "group", "aria-label": "Map of the stations" }, this.land, this.tiles, this.markers);
    const button = (symbol, label, action) =>
      h("button", { type: "button", "aria-label": label, onclick: action }, symbol);
    box.append(
      this.svg,
      h(
        "div",
        { class: "zoom" },
        button("+", "Zoom in", () => this.zoom(2)),
        button("−", "Zoom out", () => this.zoom(0.5)),
        button("⌂", "Show all stations", () => this.fit()),
      ),
    );
    this.stations = [];
    this.view = null;
    this.styles = new Map();
    this.enableDragging();
    new ResizeObserver(() => this.draw()).observe(box);
    this.loadCoastlines();
  }

  async loadCoastlines() {
    const topology = await (await fetch(urlFor("/dashboard/static/land.json"))).json();
    const { land, coasts, borders } = landPaths(topology);
    this.land.append(
      h("path", { d: land, class: "land" }),
      h("path", { d: coasts, class: "coasts" }),
      h("path", { d: borders, class: "borders" }),
    );
    this.draw();
  }

  /**
   * Show stations: [{id, name, longitude, latitude}]. styles: Map from station id to {color, angle, text, description,
   * flagged, warned}. The view is fitted if the set of stations has changed.
   */
  show(stations, styles) {
    const ids = (list) => list.map((station) => station.id).join();
    const changed = ids(stations) !== ids(this.stations);
    this.stations = stations;
    this.styles = styles;
    if (changed || !this.view) this.fit();
    else this.draw();
  }

  fit() {
    const points = this.stations.map((station) => mercator(station.longitude, station.latitude));
    if (!points.length) points.push([0.15, 0.25], [0.85, 0.6]);
    const [left, right] = [Math.min(...points.map((p) => p[0])), Math.max(...points.map((p) => p[0]))];
    const [top, bottom] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
    const { clientWidth: width, clientHeight: height } = this.box;
    const minExtent = 0.0035; // about one degree, so that the map of a single town is not zoomed in too far
    const scale = Math.min(
      (width - 130) / Math.max(right - left, minExtent),
      (height - 90) / Math.max(bottom - top, minExtent),
    );
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, scale };
    this.draw();
  }

  zoom(factor, [x, y] = [this.box.clientWidth / 2, this.box.clientHeight / 2]) {
    const [oldX, oldY] = this.toWorld(x, y);
    this.view.scale = Math.max(200, Math.min(MAX_SCALE, this.view.scale * factor));
    const [newX, newY] = this.toWorld(x, y);
    this.view.x += oldX - newX;
    this.view.y += oldY - newY;
    this.draw();
  }

  /** World coordinates of a point in the box, in pixels. */
  toWorld(x, y) {
    return [
      this.view.x + (x - this.box.clientWidth / 2) / this.view.scale,
      this.view.y + (y - this.box.clientHeight / 2) / this.view.scale,
    ];
  }

  /** Position in the box, in pixels, of a point in world coordinates. */
  toScreen([x, y]) {
    return [
      (x - this.view.x) * this.view.scale + this.box.clientWidth / 2,
      (y - this.view.y) * this.view.scale + this.box.clientHeight / 2,
    ];
  }

  enableDragging() {
    let drag = null;
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
      drag = { x: event.clientX, y: event.clientY, view: { ...this.view }, moved: false };
    });
    addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      drag.moved ||= Math.hypot(dx, dy) > 4;
      if (!drag.moved) return;
      this.svg.classList.add("dragged");
      this.view.x = drag.view.x - dx / this.view.scale;
      this.view.y = drag.view.y - dy / this.view.scale;
      this.draw();
    });
    addEventListener("pointerup", () => {
      const moved = drag?.moved;
      drag = null;
      this.svg.classList.remove("dragged");
      // The click that ends a drag must not follow a link.
      if (moved) this.svg.addEventListener("click", (event) => event.preventDefault(), { capture: true, once: true });
    });
    this.svg.addEventListener("dragstart", (event) => event.preventDefault());
  }

  draw() {
    if (!this.view || !this.box.clientWidth) return;
    const { scale } = this.view;
    const [x0, y0] = this.toScreen([0, 0]);
    this.land.setAttribute("transform", `translate(${x0} ${y0}) scale(${scale / LAND_SIZE})`);
    if (tileUrl) this.drawTiles();
    this.drawMarkers();
  }

  drawTiles() {
    const level = Math.max(0, Math.min(18, Math.round(Math.log2(this.view.scale / TILE_SIZE))));
    const count = 2 ** level;
    const size = this.view.scale / count;
    const [left, top] = this.toWorld(0, 0).map((value) => Math.floor(value * count));
    const [right, bottom] = this.toWorld(this.box.clientWidth, this.box.clientHeight).map((value) =>
      Math.floor(value * count),
    );
    const images = [];
    for (let x = left; x <= right; x++) {
      for (let y = Math.max(top, 0); y <= Math.min(bottom, count - 1); y++) {
        const [screenX, screenY] = this.toScreen([x / count, y / count]);
        const url = tileUrl
          .replace("{z}", level)
          .replace("{x}", ((x % count) + count) % count)
          .replace("{y}", y);
        images.push(h("image", { href: url, x: screenX, y: screenY, width: size + 0.5, height: size + 0.5 }));
      }
    }
    this.tiles.replaceChildren(...images);
  }

  drawMarkers() {
    const positions = new Map(
      this.stations.map((station) => [station.id, this.toScreen(mercator(station.longitude, station.latitude))]),
    );
    // Flagged stations first, so that they get their labels.
    const stations = [...this.stations].sort(
      (a, b) => Number(this.styles.get(b.id).flagged) - Number(this.styles.get(a.id).flagged),
    );
    const occupied = [...positions.values()].map(([x, y]) => ({ x: x - 8, y: y - 8, w: 16, h: 16 }));
    const existing = new Map([...this.markers.children].map((marker) => [marker.dataset.id, marker]));
    const markers = stations.map((station) => {
      const style = this.styles.get(station.id);
      const [x, y] = positions.get(station.id);
      const label = this.placeLabel(station, style, x, y, occupied);
      const content = JSON.stringify([style, label]);
      let marker = existing.get(station.id);
      if (!marker || marker.content !== content) {
        marker?.remove();
        marker = this.createMarker(station, style, label);
        marker.content = content;
      }
      marker.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      existing.delete(station.id);
      return marker;
    });
    for (const removed of existing.values()) removed.remove();
    for (const marker of markers) if (marker.parentNode !== this.markers) this.markers.append(marker);
  }

  /** Position of a label: value and name, else the value, on the right or left side; null if there is no space. */
  placeLabel(station, style, x, y, occupied) {
    const isFree = (box) =>
      box.x > 2 &&
      box.x + box.w < this.box.clientWidth - 2 &&
      !occupied.some(
        (other) =>
          box.x < other.x + other.w && other.x < box.x + box.w && box.y < other.y + other.h && other.y < box.y + box.h,
      );
    for (const withName of [true, false]) {
      const text = withName ? `${style.text} ${station.name}` : style.text;
      const width = text.length * LABEL_CHAR_WIDTH + 4;
      for (const [dx, anchor] of [
        [11, "start"],
        [-11, "end"],
      ]) {
        const box = { x: anchor === "start" ? x + dx : x + dx - width, y: y - 8, w: width, h: 16 };
        if (isFree(box)) {
          occupied.push(box);
          return { dx, anchor, withName };
        }
      }
    }
    return null;
  }

  createMarker(station, style, label) {
    const description = `${station.name}: ${style.description}`;
    const symbol =
      style.angle === null
        ? h("circle", { r: 7, fill: style.color })
        : h(
            "g",
            {},
            h("circle", { r: 5, fill: style.color }),
            h("path", {
              d: "M0 15 L0 -15 M0 15 L-4 8 M0 15 L4 8",
              stroke: style.color,
              "stroke-width": 2.2,
              fill: "none",
              transform: `rotate(${style.angle})`,
            }),
          );
    const text =
      label &&
      h(
        "text",
        { x: label.dx, y: 4, "text-anchor": label.anchor },
        style.text,
        label.withName ? h("tspan", { class: "name", dx: 5 }, station.name) : null,
      );
    const warning = style.warned ? h("path", { class: "warning", d: "M0 -21 L6.5 -10 L-6.5 -10 Z" }) : null;
    return h(
      "g",
      { class: style.flagged ? "marker flagged" : "marker", "data-id": station.id },
      h(
        "svg:a",
        { href: this.urlOf(station.id), "aria-label": description },
        h("title", {}, description),
        symbol,
        warning,
        text,
      ),
    );
  }
}
