// The two jobs of the page, and the keys that belong to the one on show.

import { Points } from "./points.js";
import { Votes } from "./votes.js";

const element = (id) => document.getElementById(id);

function tell(text, problem = false) {
  element("message").textContent = text;
  element("message").classList.toggle("problem", problem);
}

const name = element("name");
name.value = localStorage.getItem("name") ?? "me";

const jobs = { points: new Points(tell), votes: new Votes(tell, () => name.value) };
let shown = null;

async function show(job) {
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

document.addEventListener("keydown", (event) => {
  const typing = event.target === name;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (jobs[shown].key(event.key.toLowerCase())) event.preventDefault();
});

show(location.hash === "#votes" ? "votes" : "points");
