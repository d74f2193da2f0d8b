// The part of the page's address that names a moment: a session, its device, milliseconds from its start.

export function address(session, t) {
  const words = new URLSearchParams({ session: session.sessionId, device: session.deviceId, t: String(Math.round(t)) });
  return `#${words}`;
}

/**
 * What such a part asks for: `session`, one of `sessions`, null when it names none, undefined when it names one that is
 * not among them, which `named` tells; `t`, null when it names no moment.
 */
export function asked(part, sessions) {
  const words = new URLSearchParams(part.slice(1));
  const t = words.get("t") ? Number(words.get("t")) : NaN;
  const moment = Number.isFinite(t) ? t : null;
  const id = words.get("session");
  if (!id) return { session: null, t: moment };
  const device = words.get("device");
  const alike = sessions.filter(({ sessionId }) => sessionId === id);
  const session = alike.find(({ deviceId }) => device === null || deviceId === device);
  return { session, named: alike.length ? `session ${id} of device ${device}` : `session ${id}`, t: moment };
}
