// Where the recording comes from: the server of this page, or the page itself when it is one file.
// Both give the same: overview(), events(segment, signal) with pictures named "picture:<digest>", picture(digest) as
// an address for an <img>, warm(digests) to have pictures at hand before they are shown.

const KEPT = 400;

export function source() {
  return document.getElementById("recording") ? new Inside() : new Served();
}

/** Asks the server that this page came from. */
class Served {
  constructor() {
    this.kept = new Map();
    this.asked = new Set();
  }

  async overview() {
    const answer = await fetch("api/recording");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    return answer.json();
  }

  async events(segment, signal) {
    const answer = await fetch(`api/segments/${encodeURIComponent(segment.id)}/events`, { signal });
    if (!answer.ok) throw new Error((await answer.json()).error ?? answer.statusText);
    return answer.json();
  }

  picture(digest) {
    return this.kept.get(digest) ?? address(digest);
  }

  /** An address of the server takes a moment to load, in which a new layer is not there: these are loaded before. */
  warm(digests) {
    for (const digest of digests) {
      if (this.kept.has(digest) || this.asked.has(digest)) continue;
      this.asked.add(digest);
      fetch(address(digest))
        .then((answer) => (answer.ok ? answer.blob() : Promise.reject(new Error(answer.statusText))))
        .then((blob) => this.keep(digest, URL.createObjectURL(blob)))
        .catch(() => undefined)
        .finally(() => this.asked.delete(digest));
    }
  }

  keep(digest, url) {
    this.kept.set(digest, url);
    for (const [oldest, used] of this.kept) {
      if (this.kept.size <= KEPT) return;
      this.kept.delete(oldest);
      URL.revokeObjectURL(used);
    }
  }
}

/**
 * Reads the blocks of data in this document (agent/viewer/page.py writes them), which a browser may still be reading: a
 * segment is there when its block is, and a later one follows it.
 */
class Inside {
  constructor() {
    this.whole = document.readyState === "loading" ? new Promise((done) => addEventListener("DOMContentLoaded", done)) : null;
  }

  async overview() {
    return JSON.parse(block("recording").textContent);
  }

  async events(segment) {
    const own = () => block(`failure-${segment.id}`) ?? block(`segment-${segment.id}`);
    // The last block of what was read so far may be cut.
    if (!own()?.nextElementSibling) await this.whole;
    const found = own();
    if (!found) throw new Error("it is not in this file");
    if (found.id.startsWith("failure")) throw new Error(JSON.parse(found.textContent));
    const packed = Uint8Array.from(atob(found.textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }

  picture(digest) {
    const found = block(`picture-${digest}`);
    return found ? `data:${found.type};base64,${found.textContent}` : "data:,";
  }

  /** All of it is here. */
  warm() {}
}

function address(digest) {
  return `api/pictures/${digest}`;
}

function block(id) {
  return document.getElementById(id);
}
