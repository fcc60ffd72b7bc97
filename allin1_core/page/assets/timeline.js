// Draws the song: an overview, a window, and the playback position.

import {after, bytes, clock} from "allin1/clock";

// Paul Tol's light scheme; black text is legible on each, in dark and light.
const COLOURS = {
  start: "#DDDDDD", end: "#DDDDDD", intro: "#99DDFF", outro: "#C5C544", break: "#FFAABB",
  bridge: "#44BB99", inst: "#BBCC33", solo: "#EEDD88", verse: "#77AADD", chorus: "#EE8866",
};

// Other labels get one colour each, in the order of their first occurrence.
const others = Object.values(COLOURS).slice(2);
const assigned = new Map();

export const colour = label => {
  if (Object.hasOwn(COLOURS, label)) return COLOURS[label];
  if (!assigned.has(label)) assigned.set(label, others[assigned.size % others.length]);
  return assigned.get(label);
};

export class Timeline {
  constructor(page, content) {
    this.overview = page.getElementById("overview");
    this.detail = page.getElementById("detail");
    this.cursor = page.getElementById("cursor");
    this.frame = page.getElementById("window");
    this.duration = content.duration;
    this.tracks = content.tracks.map(track => ({...track, levels: pyramid(bytes(track.peaks))}));
    this.image = content.spectrogram ? picture(content.spectrogram) : null;
    this.start = 0;
    this.length = Math.min(30, this.duration);
    this.show = {spectrum: true, curves: true};
    this.curves = null;
  }

  setResult(result) {
    this.result = result;
    const a = result.content.activations;
    this.curves = a && {perSecond: a.perSecond, beat: pyramid(bytes(a.beat)), downbeat: pyramid(bytes(a.downbeat)),
      segment: pyramid(bytes(a.segment))};
  }

  // 0 shows the whole song, 100 two seconds.
  zoom(value, around) {
    const shortest = Math.min(2, this.duration);
    const length = this.duration * (shortest / this.duration) ** (value / 100);
    this.length = Math.min(length, this.duration);
    this.start = this.clamp(around - this.length / 2);
  }

  clamp(start) { return Math.min(Math.max(0, start), Math.max(0, this.duration - this.length)); }

  // Scrolls by pages while playing; returns whether the window has moved.
  follow(time) {
    if (time >= this.start && time <= this.start + 0.95 * this.length) return false;
    const start = this.clamp(time - 0.05 * this.length);
    const moved = start !== this.start;
    this.start = start;
    return moved;
  }

  timeAt(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    return event.currentTarget.id === "overview" ? part * this.duration : this.start + part * this.length;
  }

  draw() {
    this.paint = {};
    for (const name of ["back", "text", "wave", "beat", "downbeat", "cursor", "edge"]) {
      // Resolved by the browser, since a canvas does not know light-dark().
      this.paint[name] = resolved(`var(--${name})`);
    }
    this.font = getComputedStyle(document.body).fontFamily;
    this.drawOverview();
    this.drawDetail();
  }

  drawOverview() {
    const {context, width, height} = sized(this.overview);
    context.clearRect(0, 0, width, height);
    for (const s of this.result.segments) {
      context.fillStyle = colour(s.label);
      context.globalAlpha = 0.75;
      context.fillRect(s.start / this.duration * width, 0, (s.end - s.start) / this.duration * width, height);
    }
    context.globalAlpha = 1;
    this.wave(context, 0, this.duration, 0, width, height, "#1f2a4d");
    context.strokeStyle = this.paint.text;
    context.lineWidth = 2;
    context.strokeRect(this.start / this.duration * width, 1, this.length / this.duration * width, height - 2);
  }

  wave(context, start, length, top, width, height, fill) {
    const lane = height / Math.max(1, this.tracks.length);
    context.fillStyle = fill;
    this.tracks.forEach((track, i) => {
      const perPixel = length * track.perSecond / width;
      const {values, step} = level(track.levels, perPixel);
      for (let x = 0; x < width; x++) {
        const index = Math.floor((start + x / width * length) * track.perSecond / step);
        const peak = (values[index] ?? 0) / 255;
        const h = Math.max(peak * lane * 0.95, peak > 0 ? 1 : 0);
        context.fillRect(x, top + lane * (i + 0.5) - h / 2, 1, h);
      }
    });
  }

  drawDetail() {
    const {context, width, height, scale} = sized(this.detail);
    const {start, length} = this;
    const x = time => (time - start) / length * width;
    context.fillStyle = this.paint.back;
    context.fillRect(0, 0, width, height);
    const axis = 18 * scale;
    const spectrum = this.show.spectrum && this.image ? 0.38 : 0;
    const curves = this.show.curves && this.curves ? 0.22 : 0;
    const room = height - axis;
    const waveHeight = room * (1 - spectrum - curves);
    this.wave(context, start, length, 0, width, waveHeight, this.paint.wave);
    context.font = `${11 * scale}px ${this.font}`;
    if (this.tracks.length > 1) {
      context.fillStyle = this.paint.text;
      const lane = waveHeight / this.tracks.length;
      this.tracks.forEach((track, i) => context.fillText(track.name, 4 * scale, lane * i + 12 * scale));
    }
    if (spectrum) {
      const {canvases, perSecond, part} = this.image;
      context.imageSmoothingEnabled = true;
      canvases.forEach((canvas, i) => {
        const left = x(i * part / perSecond), right = x((i * part + canvas.width) / perSecond);
        if (right > 0 && left < width) context.drawImage(canvas, left, waveHeight, right - left, room * spectrum);
      });
    }
    if (curves) this.drawCurves(context, width, waveHeight + room * spectrum, room * curves);
    this.drawGrid(context, x, waveHeight, room, scale);
    this.drawAxis(context, x, room, scale);
  }

  drawCurves(context, width, top, height) {
    const colours = {beat: this.paint.wave, downbeat: this.paint.cursor, segment: this.paint.text};
    for (const [name, stroke] of Object.entries(colours)) {
      const {values, step} = level(this.curves[name], this.length * this.curves.perSecond / width);
      context.strokeStyle = stroke;
      context.lineWidth = 1;
      context.beginPath();
      for (let px = 0; px < width; px++) {
        const index = Math.floor((this.start + px / width * this.length) * this.curves.perSecond / step);
        const y = top + height - (values[index] ?? 0) / 255 * (height - 2);
        if (px) context.lineTo(px, y); else context.moveTo(px, y);
      }
      context.stroke();
    }
  }

  drawGrid(context, x, waveHeight, room, scale) {
    const {beats, downbeats, places, sure} = this.result.grid();
    const width = x(this.start + this.length);
    let first = after(beats, this.start - 1e-6);
    const last = after(beats, this.start + this.length);
    const crowded = (last - first) * 4 * scale > width;
    // Vertical lines at bars that are this close would hide the content.
    const bars = after(downbeats, this.start + this.length) - after(downbeats, this.start - 1e-6);
    const ticks = bars * 16 * scale > width;
    if (bars * 4 * scale > width) first = last;
    for (let i = first; i < last; i++) {
      const isDownbeat = places[i] === 1;
      if (crowded && !isDownbeat) continue;
      context.globalAlpha = sure ? 0.35 + 0.65 * sure[i] : 1;
      context.fillStyle = isDownbeat ? this.paint.downbeat : this.paint.beat;
      const tall = isDownbeat && !ticks ? room : waveHeight * 0.12;
      context.fillRect(x(beats[i]) - scale / 2, 0, isDownbeat ? 1.5 * scale : scale, tall);
      if (tall !== room) context.fillRect(x(beats[i]) - scale / 2, waveHeight - tall, scale, tall);
    }
    context.globalAlpha = 1;
    for (const s of this.result.segments.slice(1)) {
      if (s.start < this.start || s.start > this.start + this.length) continue;
      context.fillStyle = this.paint.cursor;
      context.fillRect(x(s.start) - scale, 0, 2 * scale, room);
    }
  }

  drawAxis(context, x, top, scale) {
    const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find(s => x(this.start + s) > 70 * scale) ?? 1200;
    context.fillStyle = this.paint.text;
    for (let t = Math.ceil(this.start / step) * step; t <= this.start + this.length; t += step) {
      context.fillRect(x(t), top, scale, 4 * scale);
      context.fillText(clock(t), x(t) + 3 * scale, top + 13 * scale);
    }
  }

  drawCursor(time) {
    const {context, width, height, scale} = sized(this.cursor);
    context.clearRect(0, 0, width, height);
    const x = (time - this.start) / this.length * width;
    if (x < 0 || x > width) return;
    context.fillStyle = this.paint.cursor;
    context.fillRect(x - scale, 0, 2 * scale, height);
  }
}

// Each level holds the maximum of two values of the previous one, so that hours are drawn as fast as seconds.
function pyramid(values) {
  const levels = [values];
  while (levels.at(-1).length > 512) {
    const below = levels.at(-1), above = new Uint8Array(Math.ceil(below.length / 2));
    for (let i = 0; i < above.length; i++) above[i] = Math.max(below[2 * i], below[2 * i + 1] ?? 0);
    levels.push(above);
  }
  return levels;
}

function level(levels, perPixel) {
  const index = Math.min(levels.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, perPixel)))));
  return {values: levels[index], step: 2 ** index};
}

// Canvases of at most 8192 columns, which every browser can draw.
function picture({perSecond, bands, data}) {
  const values = bytes(data), part = 8192, canvases = [];
  const columns = values.length / bands;
  for (let first = 0; first < columns; first += part) {
    const canvas = document.createElement("canvas");
    canvas.width = Math.min(part, columns - first);
    canvas.height = bands;
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, bands);
    for (let x = 0; x < canvas.width; x++) {
      for (let band = 0; band < bands; band++) {
        const v = values[(first + x) * bands + band] / 255, at = 4 * ((bands - 1 - band) * canvas.width + x);
        // From black through violet and orange to light yellow, with increasing lightness.
        image.data[at] = 255 * Math.min(1, 1.6 * v);
        image.data[at + 1] = 255 * v ** 2;
        image.data[at + 2] = 255 * (0.25 + 0.75 * Math.sin(Math.PI * Math.min(1, v * 1.2)) * (1 - v)) * Math.min(1, 4 * v + 0.15);
        image.data[at + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
    canvases.push(canvas);
  }
  return {canvases, perSecond, part};
}

function sized(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * scale)), height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  return {context: canvas.getContext("2d"), width, height, scale};
}

function resolved(value) {
  const probe = document.createElement("span");
  probe.style.color = value;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
