// Learn: what it would learn from, the button and its command, live progress, before and after.

import { askJson } from "./server.js";

const EVERY = 1000;
const FINISHED = ["done", "failed", "stopped"];

const element = (id) => document.getElementById(id);
const methods = () => [...document.querySelectorAll("[name=method]")];

export class Training {
  constructor(tell, see, offer) {
    this.tell = tell;
    this.offer = offer;
    this.timer = null;
    this.status = null;
    this.chosen = null;
    element("train").addEventListener("click", () => this.ask("api/training", { method: this.chosen }));
    element("stop").addEventListener("click", () => this.ask("api/training/stop", {}));
    element("see").addEventListener("click", see);
    for (const radio of methods()) {
      radio.addEventListener("change", () => {
        this.chosen = radio.value;
        this.draw();
      });
    }
  }

  key() {
    return false;
  }

  async start() {
    await this.look();
  }

  leave() {
    clearTimeout(this.timer);
  }

  async ask(path, body) {
    element("train").disabled = true;
    this.tell("");
    try {
      this.show(await askJson("POST", path, body));
    } catch (error) {
      this.tell(error.message, true);
    }
    await this.look();
  }

  // As long as a training runs, again and again.
  async look() {
    clearTimeout(this.timer);
    try {
      this.show(await askJson("GET", "api/training"));
    } catch (error) {
      this.tell(error.message, true);
    }
    if (!element("learn").hidden && this.status?.state === "running") {
      this.timer = setTimeout(() => this.look(), EVERY);
    }
  }

  show(status) {
    const ended = this.status?.state === "running" && FINISHED.includes(status.state);
    this.status = status;
    this.chosen ??= status.advised;
    if (status.picture && (ended || !element("judged").src)) {
      element("judged").src = `api/training/picture?of=${Date.now()}`;
    }
    if (ended && status.trained) this.offer();
    this.draw();
  }

  draw() {
    const { status } = this;
    if (!status) return;
    const { state, questions, answered, chosen } = status;
    const share = questions ? Math.round((100 * answered) / questions) : 0;
    element("given").textContent =
      `Votes on ${answered} of ${questions} questions (${share} %), ${chosen} with a chosen candidate.` +
      (chosen ? "" : " Vote first: there is nothing to learn from yet.");
    for (const radio of methods()) {
      radio.checked = radio.value === this.chosen;
      const note = radio.value === status.advised ? `(suits votes on ${share} %)` : "";
      radio.parentElement.querySelector("em").textContent = note;
    }
    element("command").textContent = status.commands[this.chosen];
    element("train").disabled = state === "running" || !chosen;
    element("train").textContent = FINISHED.includes(state) ? "Train again" : "Train";
    element("stop").hidden = state !== "running";
    this.drawState();
  }

  drawState() {
    const { state, method, message, progress, seconds, checkpoint, log, picture } = this.status;
    const name = method?.toUpperCase();
    element("learn").dataset.state = state;
    element("state").textContent = {
      idle: "No training yet",
      running: progress ? `Training (${name})` : `Training (${name}) is starting`,
      done: `Trained (${name})`,
      failed: "The training failed",
      stopped: "The training was stopped",
    }[state];
    const bar = element("trained");
    bar.hidden = state === "idle";
    const early = state === "done" && progress && progress.epoch < progress.epochs;
    if (state === "running" && !progress) bar.removeAttribute("value");
    else bar.value = state === "done" ? 1 : share(progress);
    element("figures").textContent = state === "idle" ? "Progress, and the masks before and after, will be shown here." : figures(progress, seconds);
    element("curve").hidden = !progress?.history.length;
    if (progress?.history.length) plot(element("curve"), progress);
    const after = element("after");
    after.hidden = !FINISHED.includes(state);
    after.classList.toggle("problem", state === "failed");
    after.textContent = {
      done:
        (early ? `Stopped by its guard after epoch ${progress.epoch}; the last good weights were kept. ` : "") +
        `The new weights are ${checkpoint}. Under Clicks, “after training” segments with them; ` +
        `to start from them next time, give the server --checkpoint ${checkpoint}.`,
      failed: `${message} (log: ${log})`,
      stopped: `Nothing was changed. Log: ${log}`,
    }[state] ?? "";
    element("see").hidden = state !== "done";
    element("judged").hidden = !picture;
  }
}

function share(progress) {
  if (!progress) return 0;
  const { epoch, epochs, iteration, iterations } = progress;
  return Math.max(0, (epoch - 1) * iterations + iteration) / (epochs * iterations);
}

function figures(progress, seconds) {
  const parts = [clock(seconds)];
  if (progress) {
    const { epoch, epochs, iteration, iterations, loss, history } = progress;
    parts.unshift(`epoch ${epoch} of ${epochs}, iteration ${iteration} of ${iterations}`);
    if (loss !== null) parts.push(`loss ${loss.toFixed(3)}`);
    const accuracy = history.at(-1)?.accuracy;
    if (accuracy !== null && accuracy !== undefined) parts.push(`preference accuracy ${(100 * accuracy).toFixed(0)} %`);
  }
  return parts.join(" · ");
}

function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
}

// How often the chosen candidate is ahead, epoch by epoch.
function plot(canvas, { history, epochs }) {
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const [left, right, top, bottom] = [70, canvas.width - 20, 36, canvas.height - 44];
  const x = (epoch) => left + ((right - left) * epoch) / Math.max(1, epochs);
  const y = (value) => bottom - (bottom - top) * value;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.font = `20px ${style.fontFamily}`;
  pen.fillStyle = style.getPropertyValue("color");
  pen.strokeStyle = style.getPropertyValue("color");
  pen.globalAlpha = 0.7;
  pen.textAlign = "left";
  pen.fillText("chosen candidate ahead (share of comparisons)", left, 20);
  pen.textAlign = "right";
  for (const value of [0, 0.5, 1]) {
    pen.fillText(`${100 * value} %`, left - 8, y(value) + 7);
    pen.globalAlpha = 0.25;
    pen.fillRect(left, y(value), right - left, 1);
    pen.globalAlpha = 0.7;
  }
  pen.textAlign = "center";
  const every = Math.ceil(epochs / 10);
  for (let epoch = every; epoch <= epochs; epoch += every) pen.fillText(String(epoch), x(epoch), bottom + 26);
  pen.globalAlpha = 1;
  pen.strokeStyle = pen.fillStyle = matchMedia("(prefers-color-scheme: dark)").matches ? "#56b4e9" : "#00629b";
  pen.lineWidth = 3;
  pen.beginPath();
  const points = history.map(({ accuracy }, i) => [x(i + 1), y(accuracy ?? 0)]);
  for (const point of points) pen.lineTo(...point);
  pen.stroke();
  for (const point of points) {
    pen.beginPath();
    pen.arc(...point, 5, 0, 2 * Math.PI);
    pen.fill();
  }
}
