// How clicks and masks look on an image.

// Okabe and Ito's colours, which colour-blind people tell apart.
const FOREGROUND = "#f0e442";
const BACKGROUND = "#d55e00";
const MASK = [86, 180, 233];

// Foreground clicks as discs, background clicks as squares with a bar.
export function drawClicks(pen, clicks, radius) {
  for (const { x, y, label } of clicks) {
    pen.beginPath();
    if (label === 1) pen.arc(x + 0.5, y + 0.5, radius, 0, 2 * Math.PI);
    else pen.rect(x + 0.5 - radius, y + 0.5 - radius, 2 * radius, 2 * radius);
    pen.fillStyle = label === 1 ? FOREGROUND : BACKGROUND;
    pen.fill();
    pen.lineWidth = radius / 3;
    pen.strokeStyle = "#000";
    pen.stroke();
    if (label === 1) continue;
    pen.beginPath();
    pen.moveTo(x + 0.5 - radius / 2, y + 0.5);
    pen.lineTo(x + 0.5 + radius / 2, y + 0.5);
    pen.stroke();
  }
}

// A mask as a transparent picture: tinted inside, opaque at its border.
export function tinted(mask) {
  const canvas = new OffscreenCanvas(mask.width, mask.height);
  const pen = canvas.getContext("2d");
  pen.drawImage(mask, 0, 0);
  const pixels = pen.getImageData(0, 0, mask.width, mask.height);
  const { data, width, height } = pixels;
  const inside = Uint8Array.from({ length: width * height }, (_, i) => (data[4 * i] > 127 ? 1 : 0));
  for (let i = 0; i < inside.length; i += 1) {
    const x = i % width;
    const inner =
      x > 0 && x < width - 1 && inside[i - 1] && inside[i + 1] && inside[i - width] && inside[i + width];
    data.set([...MASK, inside[i] ? (inner ? 70 : 255) : 0], 4 * i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}
