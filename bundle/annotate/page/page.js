// The jobs of the page, and the keys that belong to the one on show.

import { Clicks } from "./clicks.js";
import { Training } from "./training.js";
import { Votes } from "./votes.js";

const element = (id) => document.getElementById(id);

function tell(text, problem = false) {
  element("message").textContent = text;
  element("message").classList.toggle("problem", problem);
}

const name = element("name");
name.value = localStorage.getItem("name") ?? "me";

const jobs = { clicks: new Clicks(tell, () => name.value), votes: new Votes(tell, () => name.value) };
jobs.learn = new Training(tell, () => show("clicks"), () => jobs.clicks.offerTrained());
const keys = { c: "clicks", v: "votes", l: "learn" };
let shown = null;

async function show(job) {
  if (shown && shown !== job) jobs[shown].leave?.();
  shown = job;
  history.replaceState(null, "", `#${job}`);
  for (const other of Object.keys(jobs)) {
    element(other).hidden = other !== job;
    element(`tab-${other}`).setAttribute("aria-selected", String(other === job));
  }
  tell("");
  try {
    await jobs[job].start();
  } catch (error) {
    tell(error.message, true);
  }
}

for (const job of Object.keys(jobs)) element(`tab-${job}`).addEventListener("click", () => show(job));

name.addEventListener("change", () => {
  localStorage.setItem("name", name.value);
  if (shown === "votes") show("votes");
});

name.addEventListener("keydown", (event) => {
  if (event.key === "Enter") name.blur();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target === name;
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (!event.repeat && key in keys) {
    if (keys[key] !== shown) show(keys[key]);
  } else if ((event.repeat && !key.startsWith("arrow")) || !jobs[shown].key(key)) {
    return;
  }
  event.preventDefault();
});

show(Object.keys(jobs).find((job) => location.hash === `#${job}`) ?? "clicks");
