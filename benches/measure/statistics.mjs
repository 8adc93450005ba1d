/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of how `a` compares with `b`, round by round, so that a slow drift of the machine cancels out. */
export function medianRatio(a, b) {
  return median(a.map((value, round) => value / b[round]));
}
