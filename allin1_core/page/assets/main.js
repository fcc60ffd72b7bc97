// Assembles the page: display, playback, and editing.

import {clock} from "allin1/clock";
import {Result} from "allin1/document";
import {KEYS, listen} from "allin1/keyboard";
import {Timeline, colour} from "allin1/timeline";
import {Transport} from "allin1/transport";

export function start(page) {
  const content = JSON.parse(page.getElementById("data").textContent);
  const by = id => page.getElementById(id);
  const results = content.results.map(one => new Result(one));
  const transport = new Transport(by("audio"), content.audio, content.duration);
  const timeline = new Timeline(page, content);
  let result = results[0], selected = 0, taps = [], stale = true, others = [];

  const say = text => { by("notice").textContent = text; };
  const redraw = () => { stale = true; };

  function showFacts() {
    const {content: c} = result;
    const tempo = c.bpm === null ? "no tempo" : `${c.bpm} bpm`;
    const decimal = c.tempo ? ` (${c.tempo.bpm.toFixed(2)}${c.tempo.is_steady ? "" : ", not steady"})` : "";
    const model = c.provenance ? `, by ${c.provenance.model}` : "";
    by("facts").textContent = `${tempo}${decimal}, ${c.beats.length} beats, ${clock(content.duration)}${model}`;
    say((c.warnings ?? []).join(" "));
  }

  function showSections() {
    const ribbon = by("ribbon"), body = by("sections").querySelector("tbody");
    selected = Math.min(selected, result.segments.length - 1);
    const {downbeats} = result.grid();
    ribbon.replaceChildren(...result.segments.map((s, i) => {
      const button = page.createElement("button");
      button.type = "button";
      button.textContent = s.label;
      button.title = `${s.label}, ${clock(s.start)} to ${clock(s.end)}`;
      button.setAttribute("aria-label", button.title);
      button.setAttribute("aria-pressed", String(i === selected));
      button.style.background = colour(s.label);
      button.onclick = () => select(i, true);
      return button;
    }));
    const sure = result.changed ? null : result.content.confidence?.segments;
    body.replaceChildren(...result.segments.map((s, i) => {
      const row = page.createElement("tr");
      const jump = page.createElement("button");
      jump.type = "button";
      jump.textContent = clock(s.start);
      jump.onclick = () => select(i, true);
      const bars = downbeats.filter(t => t >= s.start - 1e-3 && t < s.end - 1e-3).length;
      const boundary = sure?.[i]?.boundary, label = sure?.[i]?.labels?.[s.label];
      const cells = [jump, s.label, String(bars), percent(boundary), percent(label)];
      for (const cell of cells) {
        const td = page.createElement("td");
        td.append(cell);
        row.append(td);
      }
      return row;
    }));
    placeRibbon();
    const s = result.segments[selected];
    by("selected").textContent = s ? `Section ${selected + 1}: ${s.label}, ${clock(s.start)}` : "No sections";
    const labels = [...new Set([...result.labels, ...result.segments.map(one => one.label)])];
    by("label").replaceChildren(...labels.map(label => new Option(label, label, false, label === s?.label)));
    for (const id of ["merge", "earlier", "later"]) by(id).disabled = selected < 1;
    by("undo").disabled = !result.past.length;
    by("redo").disabled = !result.future.length;
    if (by("loop").checked) transport.loop = s ?? null;
    redraw();
  }

  function placeRibbon() {
    placeSections(by("ribbon"), result.segments);
    for (const [row, other] of others) {
      placeSections(row, other.segments);
      placeBeats(row, other);
    }
  }

  function placeSections(row, segments) {
    const {start, length} = timeline;
    row.querySelectorAll("button").forEach((button, i) => {
      const s = segments[i];
      const left = Math.max(s.start, start), right = Math.min(s.end, start + length);
      button.hidden = right <= left;
      button.style.left = `${(left - start) / length * 100}%`;
      button.style.width = `${(right - left) / length * 100}%`;
    });
  }

  // Downbeats of another result, if the zoom is large enough to distinguish them.
  function placeBeats(row, other) {
    const {start, length} = timeline;
    row.querySelectorAll(".beat").forEach(mark => mark.remove());
    const seen = other.grid().downbeats.filter(t => t >= start && t < start + length);
    if (seen.length > 200) return;
    row.append(...seen.map(time => {
      const mark = page.createElement("span");
      mark.className = "beat";
      mark.style.left = `${(time - start) / length * 100}%`;
      return mark;
    }));
  }

  // All other results of the song below the current one, in the same time window.
  function showOthers() {
    others = results.filter(r => r !== result).map(other => {
      const row = page.createElement("div");
      row.className = "other";
      row.append(...other.segments.map(s => {
        const button = page.createElement("button");
        button.type = "button";
        button.textContent = s.label;
        button.title = `${other.content.name}: ${s.label}, ${clock(s.start)} to ${clock(s.end)}`;
        button.setAttribute("aria-label", button.title);
        button.style.background = colour(s.label);
        button.onclick = () => seek(s.start);
        return button;
      }));
      return [row, other];
    });
    by("others").hidden = others.length === 0;
    by("others").replaceChildren(...others.flatMap(([row, other]) => {
      const name = page.createElement("p");
      name.className = "name";
      name.textContent = other.content.name;
      return [name, row];
    }));
  }

  function select(index, jump = false) {
    if (!result.segments[index]) return;
    selected = index;
    if (jump) seek(result.segments[index].start);
    showSections();
  }

  function seek(time) {
    transport.seek(time);
    if (by("follow").checked) timeline.follow(time);
    redraw();
  }

  function edited(done, what) {
    if (!done) return;
    say(`${what} Not saved yet.`);
    showSections();
  }

  function choose(index) {
    result = results[index];
    result.level = by("level").value;
    timeline.setResult(result);
    selected = 0;
    showFacts();
    showOthers();
    showSections();
  }

  const near = (times, direction) => {
    const now = transport.time;
    return direction > 0 ? times.find(t => t > now + 0.02) : times.findLast(t => t < now - (transport.playing ? 0.25 : 0.02));
  };
  const jump = (times, direction) => { const t = near(times, direction); if (t !== undefined) seek(t); };

  const actions = {
    play: async () => {
      if (!transport.playable) { say("The audio of this result does not exist, so nothing can be played."); return; }
      try { await transport.toggle(); } catch (error) { say(`The browser cannot play this audio: ${error.message}`); }
    },
    beatBack: () => jump(result.grid().beats, -1),
    beatOn: () => jump(result.grid().beats, 1),
    barBack: () => jump(result.grid().downbeats, -1),
    barOn: () => jump(result.grid().downbeats, 1),
    sectionBack: () => { jump(result.segments.map(s => s.start), -1); select(result.at(transport.time + 1e-3)); },
    sectionOn: () => { jump(result.segments.map(s => s.start), 1); select(result.at(transport.time + 1e-3)); },
    home: () => seek(0),
    clicks: () => { by("clicks").checked = transport.clicks = !transport.clicks; },
    loop: () => { by("loop").checked = !by("loop").checked; setLoop(); },
    level: () => {
      const levels = ["half", "found", "double"];
      by("level").value = levels[(levels.indexOf(by("level").value) + 1) % 3];
      setLevel();
    },
    tap,
    zoomIn: () => zoomTo(Number(by("zoom").value) + 5),
    zoomOut: () => zoomTo(Number(by("zoom").value) - 5),
    split: () => { const t = transport.time; if (result.split(t)) { selected = result.at(t); edited(true, "Section split."); } },
    merge: () => { if (result.merge(selected)) { selected -= 1; edited(true, "Sections merged."); } },
    earlier: () => nudge(-1),
    later: () => nudge(1),
    label: number => edited(result.relabel(selected, result.labels[number]), "Label changed."),
    undo: () => edited(result.undo(), "Undone."),
    redo: () => edited(result.redo(), "Redone."),
    help: () => by("keys").showModal(),
  };

  function nudge(direction) {
    const time = result.segments[selected] && result.beat(result.segments[selected].start, direction);
    if (time !== undefined) edited(result.move(selected, time), "Boundary moved.");
  }

  function tap() {
    const now = performance.now() / 1000;
    if (taps.length && now - taps.at(-1) > 2) taps = [];
    taps.push(now);
    if (taps.length < 3) { by("tapped").textContent = "…"; return; }
    const bpm = 60 * (taps.length - 1) / (taps.at(-1) - taps[0]);
    const found = result.content.bpm;
    by("tapped").textContent = `${bpm.toFixed(1)} bpm${found ? `, ${(bpm / found).toFixed(2)} × found` : ""}`;
  }

  function setLoop() {
    transport.loop = by("loop").checked ? result.segments[selected] ?? null : null;
  }

  function setLevel() {
    result.level = by("level").value;
    showSections();
  }

  function zoomTo(value) {
    by("zoom").value = value;
    timeline.zoom(Number(by("zoom").value), transport.time);
    placeRibbon();
    redraw();
  }

  async function save() {
    const body = JSON.stringify(result, null, 2);
    if (!content.server) { download(`${content.name}.json`, body); return; }
    const index = results.indexOf(result);
    try {
      const reply = await fetch(`${content.server.save}?version=${index}`, {
        method: "POST", body, headers: {"Content-Type": "application/json", "X-Allin1-Token": content.server.token},
      });
      const text = await reply.text();
      if (!reply.ok) throw new Error(text);
      say(text);
    } catch (error) { say(`Not saved: ${error.message}`); }
  }

  function download(name, text) {
    const link = page.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
    say(`Saved as ${name} in the download folder of your browser.`);
  }

  // The window: click to seek, drag a boundary to move it.
  let dragged = null;
  const frame = by("window");
  const timeIn = event => timeline.start + (event.clientX - frame.getBoundingClientRect().left) / frame.clientWidth * timeline.length;
  frame.addEventListener("pointerdown", event => {
    const time = timeIn(event), reach = 6 / frame.clientWidth * timeline.length;
    const index = result.segments.findIndex((s, i) => i > 0 && Math.abs(s.start - time) < reach);
    if (index > 0) {
      dragged = {index, time: result.segments[index].start};
      frame.setPointerCapture(event.pointerId);
      select(index);
    } else seek(time);
  });
  frame.addEventListener("pointermove", event => { if (dragged) dragged.time = timeIn(event); });
  frame.addEventListener("pointerup", () => {
    if (dragged) edited(result.move(dragged.index, dragged.time), "Boundary moved.");
    dragged = null;
  });
  by("overview").addEventListener("click", event => { const t = timeline.timeAt(event); timeline.start = timeline.clamp(t - timeline.length / 2); seek(t); placeRibbon(); });

  by("play").onclick = actions.play;
  by("back").onclick = actions.barBack;
  by("forward").onclick = actions.barOn;
  by("tap").onclick = tap;
  by("clicks").onchange = event => { transport.clicks = event.target.checked; };
  by("loop").onchange = setLoop;
  by("level").onchange = setLevel;
  by("speed").onchange = event => { transport.speed = Number(event.target.value); };
  by("position").max = content.duration;
  by("position").oninput = event => seek(Number(event.target.value));
  by("zoom").oninput = event => zoomTo(Number(event.target.value));
  by("spectrum").onchange = event => { timeline.show.spectrum = event.target.checked; redraw(); };
  by("curves").onchange = event => { timeline.show.curves = event.target.checked; redraw(); };
  by("label").onchange = event => edited(result.relabel(selected, event.target.value), "Label changed.");
  for (const id of ["split", "merge", "earlier", "later", "undo", "redo"]) by(id).onclick = actions[id];
  by("save").onclick = save;
  by("jams").onclick = () => download(`${content.name}.jams`, JSON.stringify(result.toJAMS(content.name, content.duration), null, 2));
  by("help").onclick = actions.help;
  by("theme").onclick = () => {
    const dark = getComputedStyle(page.documentElement).colorScheme === "dark"
      || (page.documentElement.dataset.theme === undefined && matchMedia("(prefers-color-scheme: dark)").matches);
    page.documentElement.dataset.theme = dark ? "light" : "dark";
    redraw();
  };
  by("version").append(...results.map((r, i) => new Option(r.content.name, String(i))));
  by("version").parentElement.hidden = results.length < 2;
  by("version").onchange = event => choose(Number(event.target.value));
  by("keys").querySelector("dl").append(...KEYS.flatMap(([, shown, what]) => {
    const dt = page.createElement("dt"), dd = page.createElement("dd");
    dt.append(Object.assign(page.createElement("kbd"), {textContent: shown}));
    dd.textContent = what;
    return [dt, dd];
  }));
  if (transport.stems.size) {
    by("stems").hidden = false;
    for (const [name, stem] of transport.stems) {
      for (const kind of ["solo", "muted"]) {
        const label = page.createElement("label"), box = page.createElement("input");
        label.className = "inline";
        box.type = "checkbox";
        box.onchange = () => { stem[kind] = box.checked; transport.mix(); };
        label.append(box, `${name} ${kind === "solo" ? "alone" : "off"}`);
        by("stems").append(label);
      }
    }
  }
  if (content.scores) {
    by("scores").hidden = false;
    by("scores").append(scoreTable(page, content.scores));
  }
  listen(page, actions);
  new ResizeObserver(redraw).observe(by("timeline"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeunload", event => { if (results.some(r => r.changed)) event.preventDefault(); });

  choose(0);
  zoomTo(content.duration > 60 ? 40 : 0);

  let shown = -1;
  function frameLoop() {
    const time = transport.tick(result.grid());
    if (transport.playing && by("follow").checked && timeline.follow(time)) { placeRibbon(); redraw(); }
    if (stale) { timeline.draw(); placeRibbon(); shown = -1; stale = false; }
    if (time !== shown) {
      timeline.drawCursor(time);
      by("clock").textContent = clock(time);
      by("position").value = time;
      shown = time;
    }
    const play = by("play"), state = String(transport.playing);
    if (play.getAttribute("aria-pressed") !== state) {
      play.setAttribute("aria-pressed", state);
      play.textContent = transport.playing ? "Pause" : "Play";
    }
    requestAnimationFrame(frameLoop);
  }
  requestAnimationFrame(frameLoop);
  page.allin1 = {transport, timeline, results, actions};
}

const percent = value => value === undefined || value === null ? "" : `${Math.round(100 * value)} %`;

function scoreTable(page, {names, rows}) {
  const table = page.createElement("table");
  table.append(Object.assign(page.createElement("caption"), {textContent: `Compared with ${names[0]}`}));
  for (const [name, ...values] of [["", ...names.slice(1)], ...rows]) {
    const row = page.createElement("tr");
    row.append(Object.assign(page.createElement("th"), {textContent: name, scope: "row"}));
    for (const value of values) {
      row.append(Object.assign(page.createElement("td"), {textContent: typeof value === "number" ? value.toFixed(3) : value}));
    }
    table.append(row);
  }
  return table;
}
