// Plays the song or its stems, with synchronous clicks.

import {after} from "allin1/clock";

const LOOK_AHEAD = 0.15;
const DRIFT = 0.03;

export class Transport {
  constructor(audio, sources, duration) {
    this.duration = duration;
    this.stems = new Map();
    const stems = Object.entries(sources.stems ?? {}).filter(([, url]) => url);
    this.master = audio;
    if (stems.length) {
      for (const [name, url] of stems) {
        const player = this.stems.size ? new Audio() : audio;
        player.preload = "auto";
        player.src = url;
        this.stems.set(name, {player, muted: false, solo: false});
      }
    } else if (sources.mix) {
      audio.src = sources.mix;
    }
    this.playable = stems.length > 0 || Boolean(sources.mix);
    this.clicks = false;
    this.loop = null;
    this.scheduled = -1;
    this.seen = {media: 0, clock: 0};
  }

  get players() { return this.stems.size ? [...this.stems.values()].map(s => s.player) : [this.master]; }
  get playing() { return !this.master.paused && !this.master.ended; }

  // The media clock advances in steps; between them, the page's own clock is used.
  get time() {
    const media = this.master.currentTime, now = performance.now() / 1000;
    if (!this.playing) return media;
    if (media !== this.seen.media) this.seen = {media, clock: now};
    return Math.min(media + (now - this.seen.clock) * this.master.playbackRate, media + 0.1);
  }

  async play() {
    if (!this.playable) return;
    const time = this.master.currentTime;
    for (const player of this.players.slice(1)) player.currentTime = time;
    this.scheduled = -1;
    this.seen = {media: -1, clock: 0};
    await Promise.all(this.players.map(player => player.play()));
  }

  pause() { for (const player of this.players) player.pause(); }

  async toggle() { if (this.playing) this.pause(); else await this.play(); }

  seek(time) {
    const to = Math.min(Math.max(0, time), this.duration);
    for (const player of this.players) player.currentTime = to;
    this.scheduled = -1;
    this.seen = {media: to, clock: performance.now() / 1000};
  }

  set speed(rate) { for (const player of this.players) player.playbackRate = rate; }

  mix() {
    const soloed = [...this.stems.values()].some(s => s.solo);
    for (const s of this.stems.values()) s.player.muted = s.muted || (soloed && !s.solo);
  }

  // Called each time the page is drawn, with the beats and which of them are downbeats.
  tick(grid) {
    const time = this.time;
    if (!this.playing) return time;
    if (this.loop && (time >= this.loop.end - 0.01 || time < this.loop.start - 0.05)) {
      this.seek(this.loop.start);
      return this.loop.start;
    }
    for (const player of this.players.slice(1)) {
      if (Math.abs(player.currentTime - this.master.currentTime) > DRIFT) player.currentTime = this.master.currentTime;
    }
    if (this.clicks) this.click(time, grid);
    return time;
  }

  click(time, {beats, places}) {
    this.context ??= new AudioContext();
    if (this.context.state === "suspended") this.context.resume();
    const from = Math.max(time, this.scheduled), until = time + LOOK_AHEAD * this.master.playbackRate;
    for (let i = after(beats, from); i < beats.length && beats[i] <= until; i++) {
      const at = this.context.currentTime + (beats[i] - time) / this.master.playbackRate;
      this.sound(at, places[i] === 1 ? 3000 : 1500);
    }
    this.scheduled = Math.max(until, this.scheduled);
  }

  sound(at, pitch) {
    const tone = new OscillatorNode(this.context, {frequency: pitch});
    const level = new GainNode(this.context, {gain: 0.3});
    level.gain.setValueAtTime(0.3, at);
    level.gain.exponentialRampToValueAtTime(0.001, at + 0.06);
    tone.connect(level).connect(this.context.destination);
    tone.start(at);
    tone.stop(at + 0.07);
  }
}
