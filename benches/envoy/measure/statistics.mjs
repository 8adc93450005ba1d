/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of how `a` compares with `b`, round by round, so that a slow drift of the machine cancels out. */
export function medianRatio(a, b) {
  return median(ratios(a, b));
}

/** Between which ratios the middle half of the rounds lies. */
export function middleHalf(a, b) {
  const sorted = ratios(a, b).toSorted((x, y) => x - y);
  const at = (part) => sorted[Math.round(part * (sorted.length - 1))];
  return [at(0.25), at(0.75)];
}

/** The median of what `a` takes beyond `b`, round by round. */
export function medianAdded(a, b) {
  return median(a.map((value, round) => value - b[round]));
}

function ratios(a, b) {
  return a.map((value, round) => value / b[round]);
}
