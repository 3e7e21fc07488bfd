// Clicks on an image: pan, zoom, click, undo, save; the mask follows.

import { drawClicks, tinted } from "./drawing.js";
import { instead, merge } from "./merging.js";
import { askJson, askPicture, newId, pictureOf } from "./server.js";

const SLOW = 250;
const STEP = 60;

const element = (id) => document.getElementById(id);
const networks = () => [...document.querySelectorAll("[name=network]")];

export class Clicks {
  constructor(tell, name) {
    this.tell = tell;
    this.name = name;
    this.canvas = element("image");
    this.images = [];
    this.number = null;
    this.clicks = [];
    this.base = null; // the saved clicks that these were made from, and their version
    this.saving = Promise.resolve(true);
    this.kept = new Map(); // by image: what I wanted where somebody else had clicked otherwise
    this.view = { scale: 1, x: 0, y: 0 };
    this.mask = null;
    this.network = "start";
    this.asking = false;
    this.stale = false;
    this.drag = null;
    this.listen();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => {
      this.drag = null;
    });
    canvas.addEventListener("wheel", (event) => this.zoom(event), { passive: false });
    element("undo-click").addEventListener("click", () => this.undo());
    element("save").addEventListener("click", () => this.save());
    element("take-mine").addEventListener("click", () => this.settle(true));
    element("keep-theirs").addEventListener("click", () => this.settle(false));
    element("fit").addEventListener("click", () => this.fit());
    element("overlay").addEventListener("change", () => this.draw());
    for (const radio of networks()) radio.addEventListener("change", () => this.choose(radio.value));
    new ResizeObserver(() => this.resize()).observe(canvas);
    window.addEventListener("beforeunload", (event) => {
      if (this.unsaved() || this.kept.size) event.preventDefault();
    });
  }

  key(key) {
    const actions = {
      z: () => this.undo(),
      s: () => this.save(),
      f: () => this.fit(),
      a: () => element("networks").hidden || this.choose(this.network === "start" ? "trained" : "start"),
      "+": () => this.scale(1.25),
      "-": () => this.scale(0.8),
      arrowleft: () => this.pan(STEP, 0),
      arrowright: () => this.pan(-STEP, 0),
      arrowup: () => this.pan(0, STEP),
      arrowdown: () => this.pan(0, -STEP),
      n: () => this.open((this.number + 1) % this.images.length),
      b: () => this.open((this.number + this.images.length - 1) % this.images.length),
      m: () => {
        element("overlay").checked = !element("overlay").checked;
        this.draw();
      },
    };
    actions[key]?.();
    return key in actions;
  }

  async start() {
    this.images = await askJson("GET", "api/images");
    if ((await askJson("GET", "api/training")).trained) this.offerTrained();
    if (this.number === null) await this.open(0);
    else this.list();
  }

  // A training has ended since: from now on both networks can be looked at.
  offerTrained() {
    element("networks").hidden = false;
    if (this.network === "trained") this.changed();
  }

  choose(network) {
    this.network = network;
    for (const radio of networks()) radio.checked = radio.value === network;
    this.changed();
  }

  async open(number) {
    if (number === this.number && this.base) return;
    do {
      if (this.unsaved() && !(await this.save())) return;
      await this.saving;
    } while (this.unsaved()); // what was clicked meanwhile
    this.number = number;
    this.picture = null;
    this.mask = null;
    this.base = null;
    this.clicks = [];
    const [picture, found] = await Promise.all([pictureOf(number), askJson("GET", `api/images/${number}/clicks`)]);
    if (number !== this.number || this.base) return;
    this.picture = picture;
    this.base = { clicks: clicksOf(found), version: found.version };
    this.clicks = [...this.base.clicks];
    this.fit();
    await this.changed();
  }

  unsaved() {
    return this.base !== null && JSON.stringify(this.clicks) !== JSON.stringify(this.base.clicks);
  }

  content() {
    return { points: this.clicks.map(({ x, y }) => [x, y]), labels: this.clicks.map(({ label }) => label) };
  }

  // One save after the other, so that a person does not come into their own way.
  save() {
    this.saving = this.saving.then(() => this.saveNow());
    return this.saving;
  }

  async saveNow() {
    const { number } = this;
    const others = new Set();
    try {
      while (this.base) {
        const given = [...this.clicks];
        const body = { uid: newId(), annotator: this.name(), version: this.base.version, ...this.content() };
        try {
          const { saved, version } = await askJson("PUT", `api/images/${number}/clicks`, body);
          this.base = { clicks: given, version };
          this.images[number].points = saved;
          const joined = others.size ? `, joined with those of ${[...others].join(" and ")}` : "";
          this.tell(`saved ${saved} clicks of ${this.images[number].name}${joined}`);
          return true;
        } catch (error) {
          if (!error.now) throw error;
          others.add(error.now.annotator.replace("person:", ""));
          this.join(number, error.now);
        }
      }
      return false;
    } catch (error) {
      this.tell(error.message, true);
      return false;
    } finally {
      this.list();
    }
  }

  // Somebody else saved this image meanwhile: my changes go on top of theirs.
  join(number, now) {
    const theirs = clicksOf(now);
    const { merged, mineInstead } = merge(this.base.clicks, this.clicks, theirs);
    this.base = { clicks: theirs, version: now.version };
    this.clicks = merged;
    if (mineInstead.length) this.kept.set(number, [...(this.kept.get(number) ?? []), ...mineInstead]);
    this.changed();
  }

  // Where both had clicked the same pixel, theirs is on show until I say otherwise.
  async settle(mine) {
    if (mine) this.clicks = instead(this.clicks, this.kept.get(this.number));
    this.kept.delete(this.number);
    await this.changed();
  }

  async undo() {
    if (this.clicks.pop()) await this.changed();
  }

  async add(x, y, label) {
    if (!this.base || this.clicks.some((click) => click.x === x && click.y === y)) return;
    this.clicks.push({ x, y, label });
    await this.changed();
  }

  // One request at a time; what is clicked while it is on its way is asked about when it is back.
  async changed() {
    this.list();
    this.draw();
    this.stale = true;
    if (this.asking) return;
    this.asking = true;
    const slow = setTimeout(() => {
      element("busy").hidden = false;
    }, SLOW);
    while (this.stale) {
      this.stale = false;
      const { number, network } = this;
      const count = this.clicks.length;
      try {
        const mask = await askPicture("POST", `api/images/${number}/mask`, { ...this.content(), network });
        if (number !== this.number) continue;
        this.mask = tinted(mask);
        Object.assign(this.canvas.dataset, { masked: count, network });
        this.draw();
      } catch (error) {
        this.tell(error.message, true);
      }
    }
    clearTimeout(slow);
    element("busy").hidden = true;
    this.asking = false;
  }

  list() {
    const kept = this.kept.get(this.number)?.length ?? 0;
    element("conflict").hidden = !kept;
    element("both").textContent = `Somebody else clicked otherwise on ${kept} of your pixels; theirs are on show.`;
    const items = this.images.map((image, number) => {
      const button = document.createElement("button");
      const current = number === this.number;
      const count = current ? this.clicks.length : image.points;
      const clicks = document.createElement("span");
      const unsaved = current && this.unsaved();
      clicks.className = unsaved ? "count unsaved" : "count";
      clicks.textContent = `${count || ""}${unsaved ? " ●" : ""}`;
      button.title = `${count} clicks${unsaved ? ", not saved yet" : ""}`;
      button.append(image.name, clicks);
      button.setAttribute("aria-current", String(current));
      button.addEventListener("click", () => this.open(number));
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
    element("images").replaceChildren(...items);
    const background = this.clicks.filter(({ label }) => label === 0).length;
    const image = this.images[this.number];
    element("click-count").textContent =
      `${image?.name ?? ""}: ${this.clicks.length - background} foreground, ${background} background clicks`;
  }

  resize() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    this.fit();
  }

  fit() {
    if (!this.picture) return;
    const { canvas, picture } = this;
    const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
    this.view = { scale, x: (canvas.width - scale * picture.width) / 2, y: (canvas.height - scale * picture.height) / 2 };
    this.draw();
  }

  // Where on the canvas, in its own pixels, and which pixel of the image that is.
  place(event) {
    const ratio = this.canvas.width / this.canvas.clientWidth;
    const [left, top] = [event.offsetX * ratio, event.offsetY * ratio];
    const { scale, x, y } = this.view;
    return { left, top, x: Math.floor((left - x) / scale), y: Math.floor((top - y) / scale) };
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { ...this.place(event), view: { ...this.view }, moved: false };
  }

  move(event) {
    if (!this.drag) return;
    const { left, top } = this.place(event);
    const [dx, dy] = [left - this.drag.left, top - this.drag.top];
    this.drag.moved ||= Math.hypot(dx, dy) > 5;
    if (!this.drag.moved) return;
    this.view = { ...this.view, x: this.drag.view.x + dx, y: this.drag.view.y + dy };
    this.draw();
  }

  release(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.moved || !this.picture || event.button !== 0) return;
    const { x, y } = this.place(event);
    if (x < 0 || y < 0 || x >= this.picture.width || y >= this.picture.height) return;
    this.add(x, y, event.shiftKey ? 0 : 1);
  }

  zoom(event) {
    event.preventDefault();
    const { left, top } = this.place(event);
    this.scale(Math.exp(-event.deltaY / 400), left, top);
  }

  // What lies at a place of the canvas stays there.
  scale(factor, left = this.canvas.width / 2, top = this.canvas.height / 2) {
    const scale = Math.min(64, Math.max(0.05, this.view.scale * factor));
    const change = scale / this.view.scale;
    this.view = { scale, x: left - (left - this.view.x) * change, y: top - (top - this.view.y) * change };
    this.draw();
  }

  pan(dx, dy) {
    const ratio = window.devicePixelRatio;
    this.view = { ...this.view, x: this.view.x + dx * ratio, y: this.view.y + dy * ratio };
    this.draw();
  }

  draw() {
    const { canvas, view, picture } = this;
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    pen.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
    pen.imageSmoothingEnabled = view.scale < 6;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, 0, 0);
    pen.imageSmoothingEnabled = view.scale < 1;
    if (this.mask && element("overlay").checked) pen.drawImage(this.mask, 0, 0);
    drawClicks(pen, this.clicks, (5 * window.devicePixelRatio) / view.scale);
  }
}

const clicksOf = ({ points, labels }) => points.map(([x, y], i) => ({ x, y, label: labels[i] }));
