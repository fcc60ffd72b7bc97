// Keyboard shortcuts, and their list.

const FIELDS = new Set(["INPUT", "SELECT", "TEXTAREA"]);

export const KEYS = [
  [" ", "Space", "play or pause", "play"],
  ["ArrowLeft", "←", "one beat back", "beatBack"],
  ["ArrowRight", "→", "one beat forward", "beatOn"],
  ["Shift+ArrowLeft", "Shift ←", "one bar back", "barBack"],
  ["Shift+ArrowRight", "Shift →", "one bar forward", "barOn"],
  ["PageUp", "Page up", "to the previous section", "sectionBack"],
  ["PageDown", "Page down", "to the next section", "sectionOn"],
  ["Home", "Home", "to the start", "home"],
  ["c", "C", "clicks on or off", "clicks"],
  ["l", "L", "loop the section", "loop"],
  ["h", "H", "half, found or double tempo", "level"],
  ["t", "T", "tap the tempo", "tap"],
  ["+", "+", "zoom in", "zoomIn"],
  ["-", "−", "zoom out", "zoomOut"],
  ["s", "S", "split the section here", "split"],
  ["m", "M", "merge the section with the one before", "merge"],
  ["[", "[", "start the section a beat earlier", "earlier"],
  ["]", "]", "start the section a beat later", "later"],
  ["0", "0 to 9", "label the section", "label"],
  ["z", "Z", "undo", "undo"],
  ["y", "Y", "redo", "redo"],
  ["?", "?", "this list", "help"],
];

export function listen(page, actions) {
  const table = new Map(KEYS.map(([key, , , action]) => [key, action]));
  page.addEventListener("keydown", event => {
    if (event.ctrlKey && ["z", "y"].includes(event.key)) {
      actions[event.key === "z" ? "undo" : "redo"]();
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const {target} = event;
    if (FIELDS.has(target.tagName) && target.type !== "checkbox") return;
    // Space activates a button or checkbox that has the focus.
    if (event.key === " " && (target.tagName === "BUTTON" || target.tagName === "INPUT")) return;
    if (page.querySelector("dialog[open]")) return;
    const key = event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key;
    if (/^[0-9]$/.test(key)) actions.label(Number(key));
    else if (table.has(key)) actions[table.get(key)]();
    else if (table.has(key.toLowerCase())) actions[table.get(key.toLowerCase())]();
    else return;
    event.preventDefault();
  });
}
