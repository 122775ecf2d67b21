"use strict";
// The timeline of one video: lanes of items placed by share of the video's length, so that any width and zoom is exact.
// Text of the data only ever becomes text nodes or attribute values; nothing here parses HTML.

const NS = 1e9;
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600];
const TICK_PX = 84;
const ROW_PX = 18;
const HUES = { backward: 265, realtime: 215, forward: 150, proactive: 32, counting: 325, user: 150, assistant: 215, system: 265 };
const SVG_BOX = "0 -3 10000 106";

function make(tag, traits, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(traits)) {
    if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// The same text as core/clock.py's format_ns: milliseconds, rounded down.
function formatNs(ns) {
  const ms = Math.floor(Math.abs(ns) / 1e6);
  const minutes = Math.floor(ms / 60000);
  const hours = Math.floor(minutes / 60);
  const head = hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}` : `${minutes}`;
  const rest = ms % 60000;
  const seconds = String(Math.floor(rest / 1000)).padStart(2, "0");
  return `${ns < 0 ? "-" : ""}${head}:${seconds}.${String(rest % 1000).padStart(3, "0")}`;
}

function spanText(start, end) {
  return start === end ? formatNs(start) : `${formatNs(start)} – ${formatNs(end)}`;
}

function words(text) {
  return make("span", { class: "words" }, text);
}

// Put spans into as few rows as they need without overlap; `gap` is the least room (ns) that each takes.
function pack(spans, gap) {
  const ends = [];
  const order = spans.map((_, k) => k).sort((a, b) => spans[a].start - spans[b].start || a - b);
  const rows = new Array(spans.length);
  for (const k of order) {
    const { start, end } = spans[k];
    let row = ends.findIndex((free) => free <= start);
    if (row < 0) row = ends.push(0) - 1;
    ends[row] = Math.max(end, start + gap);
    rows[k] = row;
  }
  return { rows, count: Math.max(1, ends.length) };
}

class Timeline {
  // `onSeek(ns)` moves the video; `onChoose(item)` shows an item's text.
  constructor(host, data, { onSeek, onChoose }) {
    this.data = data;
    this.length = Math.max(1, data.duration_ns);
    this.onSeek = onSeek;
    this.onChoose = onChoose;
    this.zoom = 1;
    this.chosen = null;
    this.items = new Map();
    this.stacks = [];
    this.track = make("div", { class: "track" });
    this.behind = make("div", { class: "over behind" });
    this.front = make("div", { class: "over front" });
    this.head = make("div", { class: "head" });
    this.front.append(this.head);
    this.view = make("div", { class: "view" }, this.track);
    host.append(this.controls(), this.view);
    this.ruler = this.addRuler();
    this.track.append(this.behind);
    this.addShots();
    this.addPictures();
    this.addCurves();
    this.addEvents();
    this.addQuestions();
    this.addDialogues();
    this.track.append(this.front);
    this.track.addEventListener("click", (event) => this.clicked(event));
    this.track.addEventListener("keydown", (event) => this.pressed(event));
    for (const kind of ["mouseover", "focusin"]) this.track.addEventListener(kind, (event) => this.hover(event.target));
    for (const kind of ["mouseleave", "focusout"]) this.track.addEventListener(kind, () => this.hover(null));
    new ResizeObserver(() => this.layOut()).observe(this.view);
  }

  share(ns) {
    return `${(100 * ns) / this.length}%`;
  }

  width(start, end) {
    return `${(100 * Math.max(0, end - start)) / this.length}%`;
  }

  controls() {
    const less = make("button", { type: "button", "aria-label": "Zoom out" }, "−");
    const more = make("button", { type: "button", "aria-label": "Zoom in" }, "+");
    less.addEventListener("click", () => this.setZoom(this.zoom / 2));
    more.addEventListener("click", () => this.setZoom(this.zoom * 2));
    const key = (text, style) => make("span", { class: "key" }, make("span", { class: "swatch", style }), text);
    return make(
      "div", { class: "controls" }, make("span", {}, "Zoom"), less, more,
      key("fade", { background: "var(--fade)" }), key("dissolve", { background: "var(--p3)" }),
      make("span", {}, "shots begin at their coloured edge"), make("span", {}, "? asked"), make("span", {}, "▾ answerable from here"),
      make("span", {}, "box: answer window"), key("silence", { background: "var(--p0)" }),
      key("standby", { background: "var(--p1)" }), key("respond", { background: "var(--p2)" }),
    );
  }

  setZoom(zoom) {
    this.zoom = Math.min(256, Math.max(1, zoom));
    this.track.style.setProperty("--zoom", this.zoom);
    this.layOut();
    this.reveal(this.now || 0, true);
  }

  // What depends on pixels: the ticks, and how many rows a lane needs so that no item covers another.
  layOut() {
    const width = this.ruler.clientWidth;
    if (!width || width === this.laidOut) return;
    this.laidOut = width;
    this.drawTicks(width);
    for (const { body, spans, px } of this.stacks) {
      const packed = pack(spans, (px * this.length) / width);
      [...body.children].forEach((button, k) => button.style.setProperty("top", `${packed.rows[k] * ROW_PX + 1}px`));
      body.style.height = `${packed.count * ROW_PX + 2}px`;
    }
  }

  lane(name, { height = 24, note = "", extra = "" } = {}) {
    const label = make("div", { class: "name", title: name }, name);
    if (note) label.append(make("small", {}, note));
    const body = make("div", { class: "body", style: { height: `${height}px` } });
    this.track.append(make("div", { class: `lane ${extra}` }, label, body));
    return body;
  }

  heading(name, rows) {
    const count = rows && rows.length ? [make("span", { class: "count" }, String(rows.length))] : [];
    const label = make("div", { class: "name" }, name, ...count);
    const text = rows ? (rows.length ? "" : "none") : "not built yet";
    this.track.append(make("div", { class: "lane group" }, label, make("div", { class: "body" }, text)));
  }

  addRuler() {
    const body = this.lane("time", { extra: "ruler" });
    const traits = { role: "slider", tabindex: "0", "aria-label": "Position in the video", "aria-valuemin": "0" };
    for (const [name, value] of Object.entries(traits)) body.setAttribute(name, value);
    body.setAttribute("aria-valuemax", String(this.length / NS));
    body.addEventListener("pointerdown", (event) => body.setPointerCapture(event.pointerId));
    body.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.onSeek(this.timeAt(event));
    });
    return body;
  }

  drawTicks(width) {
    const seconds = this.length / NS;
    const step = STEPS_S.find((s) => (s / seconds) * width >= TICK_PX) || STEPS_S.at(-1);
    const ticks = [];
    const lines = [];
    for (let k = 0; k * step <= seconds; k += 1) {
      const left = this.share(k * step * NS);
      const text = formatNs(Math.round(k * step * 1000) * 1e6);
      ticks.push(make("span", { class: "tick", style: { left } }, step < 1 ? text.slice(0, -2) : text.slice(0, -4)));
      lines.push(make("span", { class: "grid", style: { left } }));
    }
    this.ruler.replaceChildren(...ticks);
    this.behind.replaceChildren(...lines);
  }

  // An item is a button; `item` holds seek (ns), bands (spans to light up), title and rows for the detail box.
  add(body, kind, item, style, ...children) {
    const traits = { type: "button", class: `item ${kind}`, tabindex: body.querySelector(".item") ? "-1" : "0", style };
    const button = make("button", { ...traits, title: item.label, "aria-label": item.label, "data-ns": item.seek }, ...children);
    this.items.set(button, item);
    body.append(button);
    return button;
  }

  addShots() {
    const shots = this.data.shots;
    if (!shots) return this.heading("Shots, frames", null);
    const body = this.lane("shots", { height: 34, note: `${shots.length}` });
    shots.forEach((shot, k) => {
      const kind = `shot ${shot.transition} ${k % 2 ? "odd" : ""}`;
      const style = { left: this.share(shot.start_ns), width: this.width(shot.start_ns, shot.end_ns) };
      this.add(body, kind, describeShot(shot), style, words(String(shot.ordinal)));
    });
  }

  addPictures() {
    const pictures = this.data.pictures;
    if (!pictures) return;
    const shown = pictures.filter((picture) => picture.jpeg).length;
    const note = shown < pictures.length ? `${shown} of ${pictures.length} shown` : `${shown}`;
    const body = this.lane("keyframes", { height: 52, note });
    pictures.forEach((picture, k) => {
      const next = k + 1 < pictures.length ? pictures[k + 1].t_ns : this.length;
      const style = { left: this.share(picture.t_ns), width: this.width(picture.t_ns, next), "max-width": "84px" };
      const image = picture.jpeg ? [make("img", { alt: "", loading: "lazy", src: `data:image/jpeg;base64,${picture.jpeg}` })] : [];
      this.add(body, "frame", describePicture(picture), style, ...image);
    });
  }

  addCurves() {
    for (const curve of this.data.curves || []) {
      const body = this.lane(curve.name, { height: 34, note: `0 … ${curve.top}` });
      const svg = document.getElementById("curve").content.cloneNode(true);
      svg.firstElementChild.setAttribute("viewBox", SVG_BOX);
      svg.querySelector("polyline").setAttribute("points", curve.points);
      body.append(svg);
    }
  }

  // A lane whose items may overlap in time; `px` is the least width of one on screen. Fill it in the order of `spans`.
  stack(name, spans, px) {
    const body = this.lane(name);
    this.stacks.push({ body, spans, px });
    return body;
  }

  addEvents() {
    const events = this.data.events;
    this.heading("Events", events);
    const labels = [...new Set((events || []).map((event) => event.label))].sort();
    labels.forEach((label, number) => {
      const own = events.filter((event) => event.label === label);
      const spans = own.map((event) => ({ start: event.start_ns, end: event.end_ns }));
      const body = this.stack(label, spans, own.some((event) => event.is_point) ? 12 : 6);
      const hue = String(Math.round(number * 137.5 + 205) % 360);
      for (const event of own) this.addEvent(body, event, { "--hue": hue });
    });
  }

  addEvent(body, event, style) {
    const place = { ...style, left: this.share(event.start_ns) };
    if (event.is_point) return this.add(body, "event instant", describeEvent(event), place);
    const width = this.width(event.start_ns, event.end_ns);
    const button = this.add(body, "event", describeEvent(event), { ...place, width }, words(event.caption));
    const known = (event.known_from_ns - event.start_ns) / (event.end_ns - event.start_ns || 1);
    if (known > 0 && known < 1) button.append(make("span", { class: "known", style: { left: `${100 * known}%` } }));
  }

  addQuestions() {
    const questions = this.data.questions;
    this.heading("Questions", questions);
    if (!questions || !questions.length) return;
    const spans = questions.map((question) => {
      const times = [question.ask_ns, question.answerable_from_ns];
      for (const answer of question.answers) times.push(answer.window_start_ns, answer.window_end_ns);
      return { start: Math.min(...times), end: Math.max(...times) };
    });
    const body = this.stack("asked … answered", spans, 17);
    questions.forEach((question, k) => this.addQuestion(body, question, spans[k]));
  }

  addQuestion(body, question, { start, end }) {
    const inside = (ns) => `${(100 * (ns - start)) / (end - start || 1)}%`;
    const style = { "--hue": HUES[question.mode] ?? 215 };
    const windows = question.answers.map((answer) => {
      const width = `${(100 * (answer.window_end_ns - answer.window_start_ns)) / (end - start || 1)}%`;
      return make("span", { class: "window", style: { left: inside(answer.window_start_ns), width } });
    });
    const marks = [make("span", { class: "ask", style: { left: inside(question.ask_ns) } }, "?"), ...windows];
    if (!question.unanswerable) marks.push(make("span", { class: "from", style: { left: inside(question.answerable_from_ns) } }));
    const kind = `question ${question.unanswerable ? "unanswerable" : ""}`;
    // One asked at the very end still shows its mark.
    const left = `min(${this.share(start)}, 100% - 15px)`;
    this.add(body, kind, describeQuestion(question), { ...style, left, width: this.width(start, end) }, ...marks);
  }

  addDialogues() {
    const dialogues = this.data.dialogues;
    this.heading("Dialogues", dialogues);
    for (const [number, dialogue] of (dialogues || []).entries()) {
      for (const role of ["system", "user", "assistant"]) {
        const turns = dialogue.turns.filter((turn) => turn.role === role);
        if (!turns.length && role === "system") continue;
        const spans = turns.map((turn) => ({ start: turn.start_ns, end: turn.end_ns }));
        const body = this.stack(dialogues.length > 1 ? `${role} ${number + 1}` : role, spans, 6);
        for (const turn of turns) {
          const kind = `turn ${turn.truncated_at_char === undefined ? "" : "cut"}`;
          const style = { "--hue": HUES[role], left: this.share(turn.start_ns), width: this.width(turn.start_ns, turn.end_ns) };
          this.add(body, kind, describeTurn(turn, dialogue), style, words(turn.text));
        }
      }
      for (const track of dialogue.decisions) this.addDecisions(track, dialogue);
    }
  }

  addDecisions(track, dialogue) {
    const body = this.lane("decisions", { height: 16, extra: "thin" });
    body.previousElementSibling.append(` ${track.grid}`);
    track.runs.forEach((run, k) => {
      const end = k + 1 < track.runs.length ? track.runs[k + 1].start_ns : dialogue.end_ns;
      const title = `${run.state}, ${run.steps} steps, ${spanText(run.start_ns, end)}`;
      const style = { left: this.share(run.start_ns), width: this.width(run.start_ns, end) };
      body.append(make("span", { class: `run ${run.state}`, title, style }));
    });
  }

  timeAt(event) {
    const box = this.ruler.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return Math.round(share * this.length);
  }

  clicked(event) {
    const item = this.items.get(event.target.closest(".item"));
    if (item) return this.choose(event.target.closest(".item"));
    if (event.target.closest(".body")) this.onSeek(this.timeAt(event));
  }

  choose(button) {
    if (this.chosen) this.chosen.classList.remove("chosen");
    this.chosen = button;
    button.classList.add("chosen");
    for (const other of button.parentElement.querySelectorAll('.item[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
    this.onChoose(this.items.get(button));
    this.onSeek(this.items.get(button).seek);
    this.hover(button);
  }

  // Arrow keys walk the items of a lane, or move the playhead when the ruler has the focus; Enter is the button's own.
  pressed(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.target === this.ruler) {
      const jump = { Home: 0, End: this.length }[event.key];
      if (way === undefined && jump === undefined) return;
      event.preventDefault();
      const goal = jump ?? (this.now || 0) + way * (event.shiftKey ? 0.1 : 1) * NS;
      return this.onSeek(Math.min(this.length, Math.max(0, goal)));
    }
    const button = event.target.closest(".item");
    if (!button || way === undefined) return;
    event.preventDefault();
    const row = [...button.parentElement.querySelectorAll(".item")];
    row.sort((a, b) => this.items.get(a).seek - this.items.get(b).seek);
    const next = row[row.indexOf(button) + way];
    if (!next) return;
    button.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  hover(target) {
    const button = target && target.closest(".item");
    const item = this.items.get(button || this.chosen);
    for (const band of this.front.querySelectorAll(".band")) band.remove();
    for (const band of (item && item.bands) || []) {
      const style = { left: this.share(band.start), width: this.width(band.start, band.end) };
      this.front.append(make("span", { class: `band ${band.role}`, style }));
    }
  }

  // Move the playhead and keep it in view.
  moveTo(ns) {
    this.now = ns;
    this.head.style.left = this.share(ns);
    this.ruler.setAttribute("aria-valuenow", String(ns / NS));
    this.ruler.setAttribute("aria-valuetext", formatNs(ns));
    this.reveal(ns, false);
  }

  reveal(ns, always) {
    const names = this.ruler.previousElementSibling.offsetWidth;
    const room = this.view.clientWidth - names;
    const x = (ns / this.length) * this.ruler.clientWidth - this.view.scrollLeft;
    if (always || x < 0 || x > room) this.view.scrollLeft += x - room * (always ? 0.5 : 0.1);
  }
}
