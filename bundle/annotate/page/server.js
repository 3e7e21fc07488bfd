// What the server is asked, and what is done when it does not answer.

const RETRIES = [500, 1000, 2000, 4000, 8000];

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// What may be sent again as it is, once a person has seen to it: no token, too many requests, a full disk, no answer.
export class AgainError extends Error {}
const AGAIN = [401, 429, 507];

// A request that changes something carries its own name or the whole new state, so to send it again does no harm.
export async function ask(method, path, body) {
  const options = { method, headers: body === undefined ? {} : { "content-type": "application/json" } };
  if (body !== undefined) options.body = JSON.stringify(body);
  for (const wait of [...RETRIES, null]) {
    let response = null;
    try {
      response = await fetch(path, options);
    } catch {
      // no connection: the server may be starting again
    }
    if (response?.ok) return response;
    const busy = !response || response.status === 429 || (response.status >= 500 && response.status !== 507);
    if (!busy) {
      const { detail, now } = await response.json().catch(() => ({ detail: response.statusText }));
      const error = new (AGAIN.includes(response.status) ? AgainError : Error)(detail);
      throw Object.assign(error, { now }); // what there is now, where somebody else came first
    }
    if (wait === null) throw new AgainError("the server does not answer; nothing was lost that it had confirmed");
    await pause(wait);
  }
}

export const askJson = async (...request) => (await ask(...request)).json();

export const askPicture = async (...request) => createImageBitmap(await (await ask(...request)).blob());

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const pictures = new Map();

// Pictures of images, the last few of them kept.
export function pictureOf(number) {
  const found = pictures.get(number) ?? askPicture("GET", `api/images/${number}/picture`);
  pictures.delete(number);
  pictures.set(number, found);
  found.catch(() => pictures.delete(number));
  if (pictures.size > 6) pictures.delete(pictures.keys().next().value);
  return found;
}
