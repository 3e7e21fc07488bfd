// Votes: a region after the other, its candidates as outlines, one key for each vote.

import { AgainError, ask, askJson, newId, pictureOf } from "./server.js";

// How many votes it is until people are compared again.
const COMPARE_EVERY = 10;

const LINE = "#e69f00";
const TINT = "rgb(230 159 0 / 25%)";
const SQUARE = "#56b4e9";
const AROUND = { candidate: 6, context: 60 };
const LABEL = 44;
const GAP = 12;

const element = (id) => document.getElementById(id);

export class Votes {
  constructor(tell, name) {
    this.tell = tell;
    this.name = name;
    this.waiting = [];
    this.given = new Set();
    this.shown = null;
    this.since = 0;
    this.busy = false;
    this.voted = 0;
    new ResizeObserver(() => this.arrange()).observe(element("votes"));
    element("tie").addEventListener("click", () => this.vote("tie"));
    element("skip").addEventListener("click", () => this.vote("skip"));
    element("undo-vote").addEventListener("click", () => this.undo());
  }

  key(key) {
    if (key === "0") this.vote("tie");
    else if (key === " ") this.vote("skip");
    else if (key === "u") this.undo();
    else if (/^[1-9]$/.test(key)) this.pick(Number(key) - 1);
    else return false;
    return true;
  }

  async start() {
    await this.alone(async () => {
      await this.restart();
      await this.compare();
    });
  }

  async restart() {
    this.given.clear();
    this.waiting = [];
    await this.next();
  }

  async next() {
    if (this.waiting.length < 2) {
      const found = await askJson("GET", `api/questions/${this.name()}`);
      const known = new Set([...this.given, ...this.waiting.map(({ id }) => id)]);
      this.waiting.push(...found.filter(({ id }) => !known.has(id)));
    }
    this.shown = this.waiting.shift() ?? null;
    await this.draw();
    this.since = performance.now();
    await this.count();
  }

  pick(place) {
    const outline = this.shown?.outlines[place];
    if (outline) this.vote(outline.candidate);
  }

  async vote(chosen) {
    await this.alone(async () => {
      if (!this.shown) return;
      const { id } = this.shown;
      const seconds = Math.min(86400, (performance.now() - this.since) / 1000);
      this.tell("");
      this.mark(chosen);
      try {
        await this.send(id, chosen, seconds);
      } catch (error) {
        if (error instanceof AgainError) {
          this.mark(null); // the question stays on show, to be voted on again
          throw error;
        }
        this.given.add(id);
        await this.restart(); // what was asked may have changed meanwhile
        throw error;
      }
      this.given.add(id);
      this.voted += 1;
      await this.next();
      if (this.voted % COMPARE_EVERY === 0) await this.compare();
    });
  }

  async undo() {
    await this.alone(async () => {
      const { last } = await askJson("GET", `api/progress/${this.name()}`);
      if (last === null) return;
      await this.send(last, "undo", 0);
      await this.restart();
      this.tell("your last vote was taken back");
    });
  }

  // The same vote under the same name, so that one whose arrival is not known is stored once.
  send(question, chosen, seconds) {
    const key = JSON.stringify([this.name(), question, chosen]);
    if (this.sent?.key !== key) {
      this.sent = { key, body: { uid: newId(), annotator: this.name(), question, chosen, seconds } };
    }
    return ask("POST", "api/judgements", this.sent.body).then(() => {
      this.sent = null;
    });
  }

  // A key that is pressed while a vote is on its way is not meant for the question that comes next.
  async alone(work) {
    if (this.busy) return;
    this.setBusy(true);
    try {
      await work();
    } catch (error) {
      this.tell(error.message, true);
    } finally {
      this.setBusy(false);
    }
  }

  setBusy(busy) {
    this.busy = busy;
    element("votes").setAttribute("aria-busy", String(busy));
  }

  // Show which candidate was chosen while the vote is on its way.
  mark(chosen) {
    this.shown.outlines.forEach(({ candidate }, place) => {
      element("candidates").children[place]?.classList.toggle("picked", candidate === chosen);
    });
  }

  async count() {
    const done = await askJson("GET", `api/progress/${this.name()}`);
    const all = done.answered + done.left;
    element("progress").value = done.answered / Math.max(1, all);
    const rows = [["votes", `${done.answered} of ${all}`], ["left", String(done.left)]];
    if (done.per_minute) {
      rows.push(["a minute", done.per_minute.toFixed(1)]);
      rows.push(["time left", `${Math.ceil(done.seconds_left / 60)} min`]);
    }
    const cells = rows.flatMap(([name, value]) => [["dt", name], ["dd", value]]);
    element("numbers").replaceChildren(
      ...cells.map(([tag, text]) => Object.assign(document.createElement(tag), { textContent: text })),
    );
    element("dead").hidden = !done.dead;
    element("dead").textContent = done.dead ? `${done.dead} questions cannot be asked any more (${done.why})` : "";
  }

  async compare() {
    const pairs = await askJson("GET", "api/agreement");
    const lines = pairs.map(({ annotators, same, kappa, questions }) => {
      const value = kappa === null ? "" : `, kappa ${kappa.toFixed(2)}`;
      const names = annotators.map((name) => name.replace("person:", "")).join(" and ");
      return `${names}: ${(100 * same).toFixed(0)} % of ${questions} alike${value}`;
    });
    element("agreement").textContent = lines.join("; ");
  }

  async draw() {
    const { shown } = this;
    element("votes").dataset.question = shown?.id ?? "";
    element("candidates").replaceChildren();
    const context = element("context");
    context.getContext("2d").clearRect(0, 0, context.width, context.height);
    if (!shown) {
      element("place").textContent = "";
      this.tell("no question is left");
      return;
    }
    const picture = await pictureOf(shown.image);
    element("place").textContent = `Image ${shown.image + 1}, x ${shown.box[0]}, y ${shown.box[1]}.`;
    crop(context, picture, shown.box, AROUND.context);
    const tiles = shown.outlines.map(({ candidate, lines }, place) => {
      const button = document.createElement("button");
      const canvas = document.createElement("canvas");
      canvas.width = 320;
      canvas.height = 320;
      crop(canvas, picture, shown.box, AROUND.candidate, lines);
      const number = Object.assign(document.createElement("span"), { className: "number", textContent: place + 1 });
      button.append(number);
      if (!lines.length) {
        button.append(Object.assign(document.createElement("span"), { className: "empty", textContent: "nothing" }));
      }
      button.append(canvas);
      button.addEventListener("click", () => this.vote(candidate));
      return button;
    });
    element("candidates").replaceChildren(...tiles);
    this.arrange();
  }

  // As many columns as make the tiles largest without any of them out of sight.
  arrange() {
    const frame = element("candidates");
    const count = frame.children.length;
    if (!count || element("votes").hidden) return;
    const room = element("votes").clientHeight - 40;
    const side = (columns) => {
      const width = (frame.clientWidth - 8 - GAP * (columns - 1)) / columns;
      const rows = Math.ceil(count / columns);
      return Math.min(width, (room - GAP * (rows - 1)) / rows - LABEL);
    };
    const columns = Array.from({ length: count }, (_, i) => i + 1).reduce((a, b) => (side(b) > side(a) ? b : a));
    frame.style.gridTemplateColumns = `repeat(${columns}, ${Math.max(96, Math.floor(side(columns)))}px)`;
  }
}

// Draw a part of a picture: a box with what lies around it, the box itself, and outlines.
function crop(canvas, picture, [x0, y0, x1, y1], around, lines = []) {
  const side = Math.max(x1 - x0, y1 - y0) + 2 * around;
  const scale = canvas.width / side;
  const left = within((x0 + x1 - side) / 2, picture.width - side);
  const top = within((y0 + y1 - side) / 2, picture.height - side);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
  pen.imageSmoothingQuality = "high";
  pen.fillRect(-1e5, -1e5, 2e5, 2e5);
  pen.drawImage(picture, 0, 0);
  pen.lineWidth = 2 / scale;
  pen.setLineDash([4 / scale, 4 / scale]);
  pen.strokeStyle = SQUARE;
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  pen.setLineDash([]);
  const outline = new Path2D();
  for (const line of lines) {
    outline.moveTo(line[0][0] + 0.5, line[0][1] + 0.5);
    for (const [x, y] of line) outline.lineTo(x + 0.5, y + 0.5);
  }
  pen.save();
  pen.beginPath();
  pen.rect(x0, y0, x1 - x0, y1 - y0);
  pen.clip();
  pen.fillStyle = TINT;
  pen.fill(outline, "evenodd");
  for (const [width, colour] of [[5, "#000"], [2.5, LINE]]) {
    pen.lineWidth = width / scale;
    pen.strokeStyle = colour;
    pen.stroke(outline);
  }
  pen.restore();
}

// A view's corner, such that the view stays within the picture where it can.
const within = (corner, last) => (last < 0 ? last / 2 : Math.min(last, Math.max(0, corner)));
