// How test tools would find a view again: uiautomator2, Appium, XPath, Maestro.

const WORDS = /(?:Text|Button|Box|Switch|Chip|Tab)\w*$/;
const STARS = /^\*+$/;
// What uiautomator2 reads as more than words, or cannot quote in its XPath: Python writes it with a backslash.
const SPECIAL = /^[@^%]|^\(*\/|%$|\\|"[^]*'|'[^]*"|(?! )[\p{C}\p{Z}]/u;

/**
 * {tool, text} for each tool that can name the view, best first. A label is the view's text or its description: the
 * recording does not say which, so where a tool tells them apart the class decides. Masked labels name nothing.
 */
export function selectors({ cls, res, label }) {
  const said = label && !STARS.test(label) ? label : "";
  if (!res && !said) return [];
  const attribute = WORDS.test(cls) ? "text" : "description";
  const found = [];
  if (res) {
    found.push(["uiautomator2", `d(resourceId=${quoted(res)})`], ["Appium", `new UiSelector().resourceId(${quoted(res)})`]);
  } else {
    // uiautomator2: an XPath that is plain words finds them as text, as description and as resource id.
    const path = SPECIAL.test(said) ? `//*[${shown(said)}]` : said;
    found.push(["uiautomator2", `d.xpath(${quoted(path)})`], ["Appium", `new UiSelector().${attribute}(${quoted(said)})`]);
  }
  const names = res ? `@resource-id=${literal(res)}` : shown(said);
  // An inner class ($) is no name in an XPath, and each tool has its own for it.
  found.push(["XPath", `//${/^[A-Za-z_][\w.]*$/.test(cls) ? cls : "*"}[${names}]`]);
  // Maestro reads ids and texts as regular expressions.
  found.push(["Maestro", res ? `- tapOn:\n    id: ${quoted(pattern(res))}` : `- tapOn: ${quoted(pattern(said))}`]);
  return found.map(([tool, text]) => ({ tool, text }));
}

/** Where nothing names a view: its middle, for taps by place. `x` and `y` in pixels and in percent of the screen. */
export function place({ pixels, percent }) {
  const found = [];
  if (pixels) found.push({ tool: "uiautomator2", text: `d.click(${pixels.x}, ${pixels.y})` });
  found.push({ tool: "Maestro", text: `- tapOn:\n    point: "${percent.x}%,${percent.y}%"` });
  return found;
}

/** A string of Python, Java, YAML alike. */
function quoted(text) {
  return JSON.stringify(text);
}

function shown(said) {
  return `@text=${literal(said)} or @content-desc=${literal(said)}`;
}

/** XPath 1.0 knows no escapes. */
function literal(text) {
  if (!text.includes('"')) return `"${text}"`;
  if (!text.includes("'")) return `'${text}'`;
  return `concat(${text.split('"').map((part) => `"${part}"`).join(`, '"', `)})`;
}

function pattern(text) {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
