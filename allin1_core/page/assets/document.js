// A result that can be corrected: its sections, with undo, and its beats at half and double tempo.

import {after} from "allin1/clock";

// Labels of a model that does not declare its own.
const LABELS = ["start", "end", "intro", "outro", "break", "bridge", "inst", "solo", "verse", "chorus"];

const SHORTEST = 0.1;

export class Result {
  constructor(content) {
    this.content = content;
    const own = content.provenance?.labels;
    this.labels = own?.length ? own : LABELS;
    this.segments = content.segments.map(s => ({...s}));
    this.past = [];
    this.future = [];
    this.level = "found";
  }

  get changed() { return this.past.length > 0; }

  change(segments) {
    this.past.push(this.segments);
    this.future = [];
    this.segments = segments;
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.segments);
    this.segments = this.past.pop();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.segments);
    this.segments = this.future.pop();
    return true;
  }

  at(time) {
    const index = this.segments.findIndex(s => time < s.end);
    return index < 0 ? this.segments.length - 1 : index;
  }

  relabel(index, label) {
    if (!this.segments[index] || !label || this.segments[index].label === label) return false;
    this.change(this.segments.map((s, i) => i === index ? {...s, label} : s));
    return true;
  }

  split(time) {
    const index = this.at(time), s = this.segments[index];
    if (!s || time - s.start < SHORTEST || s.end - time < SHORTEST) return false;
    const parts = [{...s, end: time}, {...s, start: time}];
    this.change([...this.segments.slice(0, index), ...parts, ...this.segments.slice(index + 1)]);
    return true;
  }

  merge(index) {
    if (index < 1 || index >= this.segments.length) return false;
    const before = this.segments[index - 1];
    const joined = {...before, end: this.segments[index].end};
    this.change([...this.segments.slice(0, index - 1), joined, ...this.segments.slice(index + 1)]);
    return true;
  }

  // Moves the start of a section, but not past its neighbours.
  move(index, time) {
    if (index < 1 || index >= this.segments.length) return false;
    const before = this.segments[index - 1], s = this.segments[index];
    const start = Math.min(Math.max(time, before.start + SHORTEST), s.end - SHORTEST);
    if (start === s.start) return false;
    const segments = [...this.segments];
    segments[index - 1] = {...before, end: start};
    segments[index] = {...s, start};
    this.change(segments);
    return true;
  }

  // The beat before or after a time.
  beat(time, direction) {
    const {beats} = this.grid();
    const i = direction > 0 ? after(beats, time + 1e-3) : after(beats, time - 1e-3) - 1;
    return beats[i];
  }

  // Beats with their positions in the bar: as detected, every other one, or with one between each two.
  grid() {
    if (this.cached?.level === this.level) return this.cached;
    const {beats, beat_positions: places} = this.content;
    let out = {beats, places, sure: this.content.confidence?.beats ?? null};
    if (this.level === "half") {
      // A bar keeps its downbeat, so the count restarts there.
      const kept = beats.map((_, i) => i).filter(i => (places[i] - 1) % 2 === 0);
      out = {beats: kept.map(i => beats[i]), places: kept.map(i => (places[i] + 1) / 2), sure: null};
    } else if (this.level === "double") {
      out = {beats: [], places: [], sure: null};
      beats.forEach((beat, i) => {
        out.beats.push(beat);
        out.places.push(2 * places[i] - 1);
        if (i + 1 < beats.length) {
          out.beats.push((beat + beats[i + 1]) / 2);
          out.places.push(2 * places[i]);
        }
      });
    }
    this.cached = {...out, level: this.level, downbeats: out.beats.filter((_, i) => out.places[i] === 1)};
    return this.cached;
  }

  // The result as a file: the original with the current sections.
  toJSON() {
    const {name, activations, confidence, ...rest} = this.content;
    // Probabilities belong to the original sections.
    const kept = confidence && this.changed ? {...confidence, segments: null} : confidence;
    return {...rest, segments: this.segments, confidence: kept};
  }

  toJAMS(title, duration) {
    const annotation = (namespace, data) => ({
      namespace, data, time: 0, duration, sandbox: {},
      annotation_metadata: {annotation_tools: "allin1", data_source: this.changed ? "program, corrected by hand" : "program"},
    });
    const {beats, beat_positions: places} = this.content;
    return {
      annotations: [
        annotation("beat", beats.map((time, i) => ({time, duration: 0, value: places[i], confidence: null}))),
        annotation("segment_open", this.segments.map(s => (
          {time: s.start, duration: s.end - s.start, value: s.label, confidence: null}))),
      ],
      file_metadata: {title, duration, identifiers: {}, jams_version: "0.3.5", artist: "", release: ""},
      sandbox: {},
    };
  }
}
