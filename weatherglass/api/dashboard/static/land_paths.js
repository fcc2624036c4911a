// Paths of land, coastlines and borders from a TopoJSON file: shared lines ("arcs") of countries and land.
import { mercator } from "./mercator.js";

/** Width and height of the world in the units of the paths. */
export const LAND_SIZE = 1000;

/** SVG path data: the area of the land, its coastlines, and the borders between countries. */
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
  const toPath = (indices) => [...indices].map((index) => `M${lines[index].join("L")}`).join("");
  return {
    land: landRings.map((ring) => `M${ring.flatMap((arc) => directed(lines, arc)).join("L")}Z`).join(""),
    coasts: toPath(coastal),
    borders: toPath(inland),
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

/** The points of an arc as text. Each point of the file is the difference from the one before, in steps of the grid. */
function projectArc(arc, { scale, translate }) {
  let [column, row] = [0, 0];
  return arc.map(([dx, dy]) => {
    column += dx;
    row += dy;
    const point = mercator(column * scale[0] + translate[0], row * scale[1] + translate[1]);
    return point.map((value) => (value * LAND_SIZE).toFixed(3)).join(" ");
  });
}
