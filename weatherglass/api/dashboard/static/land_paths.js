// Paths of land, coastlines and borders from a TopoJSON file: shared lines ("arcs") of countries and land.
import { mercator } from "./mercator.js";

/** Width and height of the world in the units of the paths. */
export const LAND_SIZE = 1000;

/**
 * SVG path data: the area of the land, its coastlines, and the borders between countries. Lines and rings of the file
 * continue across the antimeridian; the paths are cut there.
 */
export function landPaths(topology) {
  const lines = topology.arcs.map((arc) => projectArc(arc, topology.transform));
  const landRings = ringsOf(topology.objects.land);
  const coastal = new Set(landRings.flat().map(arcIndex));
  const inland = new Set(
    ringsOf(topology.objects.countries)
      .flat()
      .map(arcIndex)
      .filter((index) => !coastal.has(index)),
  );
  const linesPath = (indices) => toPath([...indices].flatMap((index) => cutLine(lines[index])));
  return {
    land: toPath(landRings.flatMap((ring) => cutRing(ring.flatMap((arc) => directed(lines, arc)))), "Z"),
    coasts: linesPath(coastal),
    borders: linesPath(inland),
  };
}

/** In a ring, the number ~i stands for the arc i in the opposite direction. */
const arcIndex = (arc) => (arc < 0 ? ~arc : arc);
const directed = (lines, arc) => (arc < 0 ? lines[~arc].toReversed() : lines[arc]);

/** All rings of a geometry, each a list of arcs. */
function ringsOf({ type, arcs, geometries }) {
  if (type === "GeometryCollection") return geometries.flatMap(ringsOf);
  return type === "MultiPolygon" ? arcs.flat() : type === "Polygon" ? arcs : [];
}

/** The points [x, y] of an arc. Each point of the file is the difference from the one before, in steps of the grid. */
function projectArc(arc, { scale, translate }) {
  let [column, row] = [0, 0];
  return arc.map(([dx, dy]) => {
    column += dx;
    row += dy;
    const point = mercator(column * scale[0] + translate[0], row * scale[1] + translate[1]);
    return point.map((value) => value * LAND_SIZE);
  });
}

/** The parts of a line between its crossings of the antimeridian; each crossing becomes a point on both edges. */
function cutLine(points) {
  const parts = [[]];
  points.forEach(([x, y], index) => {
    const [lastX, lastY] = points[index - 1] ?? [x, y];
    if (Math.abs(x - lastX) > LAND_SIZE / 2) {
      const middle = (y + lastY) / 2; // a point next to a crossing is less than a degree from the edge
      parts.at(-1).push([lastX < x ? 0 : LAND_SIZE, middle]);
      parts.push([[lastX < x ? LAND_SIZE : 0, middle]]);
    }
    parts.at(-1).push([x, y]);
  });
  return parts;
}

/** The areas of a ring east and west of the antimeridian. */
function cutRing(points) {
  const parts = cutLine(points);
  if (parts.length > 1) parts[0] = [...parts.pop(), ...parts[0]];
  for (const part of parts) {
    const [first, last] = [part[0][0], part.at(-1)[0]];
    // The ring of Antarctica goes once around the world.
    if (Math.abs(last - first) > LAND_SIZE / 2) part.push([last, LAND_SIZE], [first, LAND_SIZE]);
  }
  return parts;
}

const toPath = (parts, end = "") =>
  parts.map((points) => `M${points.map((point) => point.map((value) => value.toFixed(3)).join(" ")).join("L")}${end}`).join("");
