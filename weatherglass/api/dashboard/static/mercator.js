// Web Mercator projection, as used by map tiles.

/** World coordinates: x and y from 0 to 1, y increases southwards. */
export function mercator(longitude, latitude) {
  const sine = Math.sin((Math.max(-85, Math.min(85, latitude)) * Math.PI) / 180);
  return [longitude / 360 + 0.5, 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)];
}
