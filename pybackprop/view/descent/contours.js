// Lines of equal value of a function given on a grid.

// Values between the least and the greatest, closer together towards the least, where a descent ends.
function contourLevels(values, count) {
  const finite = values.filter(Number.isFinite), low = finite.reduce((a, b) => Math.min(a, b), Infinity), high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!finite.length) return [];
  return Array.from({ length: count }, (_, at) => low + (high - low) * ((at + 1) / (count + 1)) ** 3);
}

// The line of one level as a path. Each cell is cut into two triangles, in which a plane goes through the
// corners, so that the line within each is one segment. `place` turns places of the grid into points.
function contourPath(values, count, level, place) {
  const parts = [], corner = (column, row) => [column, row, values[row * count + column]];
  for (let row = 0; row + 1 < count; row++) {
    for (let column = 0; column + 1 < count; column++) {
      const at = row * count + column;
      // Most cells lie on one side of the line.
      const below = (values[at] < level) + (values[at + 1] < level) + (values[at + count] < level) + (values[at + count + 1] < level);
      if (below === 0 || below === 4) continue;
      const [a, b] = [corner(column, row), corner(column + 1, row)];
      const [c, d] = [corner(column, row + 1), corner(column + 1, row + 1)];
      for (const triangle of [[a, b, c], [b, c, d]]) parts.push(crossing(triangle, level, place));
    }
  }
  return parts.join("");
}

function crossing(triangle, level, place) {
  const points = [];
  for (let at = 0; at < 3; at++) {
    const [x, y, from] = triangle[at], [u, v, to] = triangle[(at + 1) % 3];
    if ((from < level) === (to < level) || !Number.isFinite(from + to)) continue;
    const part = (level - from) / (to - from);
    points.push(place(x + part * (u - x), y + part * (v - y)));
  }
  return points.length === 2 ? `M${points[0]}L${points[1]}` : "";
}
