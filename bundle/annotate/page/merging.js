// What becomes of one person's clicks on an image that somebody else saved meanwhile.

const placed = (clicks) => new Map(clicks.map((click) => [`${click.x},${click.y}`, click]));

// Clicks are {x, y, label}. My changes of the base go on top of theirs. Where both changed one pixel to different ends,
// theirs is taken, and what I wanted there is given back: {x, y, label}, with the label null for no click.
export function merge(base, mine, theirs) {
  const [before, own, other] = [base, mine, theirs].map(placed);
  const label = (clicks, place) => clicks.get(place)?.label ?? null;
  const [merged, mineInstead] = [placed(theirs), []];
  for (const place of new Set([...before.keys(), ...own.keys()])) {
    const [was, wanted, there] = [before, own, other].map((clicks) => label(clicks, place));
    if (wanted === was || wanted === there) continue;
    const { x, y } = own.get(place) ?? before.get(place);
    if (there !== was) mineInstead.push({ x, y, label: wanted });
    else if (wanted === null) merged.delete(place);
    else merged.set(place, { x, y, label: wanted });
  }
  return { merged: [...merged.values()], mineInstead };
}

// Clicks with some of them, or none at their places, instead.
export function instead(clicks, wanted) {
  const merged = placed(clicks);
  for (const { x, y, label } of wanted) {
    merged.delete(`${x},${y}`);
    if (label !== null) merged.set(`${x},${y}`, { x, y, label });
  }
  return [...merged.values()];
}
