// The list of videos, the player of each, and the box that shows an item's text. Runs after timeline.js.

// A browser counts microseconds and rounds; without this a seek could land a hair before the frame it is meant for.
const NUDGE_NS = 2000;

function bandsOf(evidence) {
  return evidence.map((piece) => ({ start: piece.start_ns, end: piece.end_ns, role: piece.role }));
}

// In the rows of a description a number is an instant and a pair of numbers a span: both become buttons that seek.
function evidenceRows(evidence) {
  return evidence.map((piece) => ["evidence", [piece.start_ns, piece.end_ns], piece.role]);
}

function madeBy(provenance) {
  return ["made by", [...new Set([provenance.kind, provenance.agent, provenance.version])].filter(Boolean).join(" ")];
}

function describeShot(shot) {
  const when = [shot.start_ns, shot.end_ns], change = [shot.transition_start_ns, shot.transition_end_ns];
  return {
    seek: shot.start_ns, bands: [], label: `Shot ${shot.ordinal}, ${shot.transition}, ${spanText(...when)}`, title: `Shot ${shot.ordinal}`,
    rows: [["when", when], ["begins with", shot.transition], ["transition", change], ["score", String(shot.score ?? "–")], ["frames", `${shot.start_frame} – ${shot.end_frame}`]],
  };
}

function describePicture(picture) {
  return {
    seek: picture.t_ns, bands: [], label: `Keyframe at ${formatNs(picture.t_ns)}, ${picture.reason}`, title: "Keyframe", jpeg: picture.jpeg,
    rows: [["when", picture.t_ns], ["frame", String(picture.frame_index)], ["reason", picture.reason], ["novelty", (picture.novelty ?? 0).toFixed(3)]],
  };
}

function describeEvent(event) {
  const when = event.is_point ? event.start_ns : [event.start_ns, event.end_ns];
  const rows = [["when", when], ["known from", event.known_from_ns], ["label", `${event.label} (${event.label_set})`]];
  if (event.subject) rows.push(["subject", event.subject]);
  rows.push(["confidence", (event.confidence ?? 0).toFixed(2)]);
  const blur = [event.onset_uncertainty_ns, event.offset_uncertainty_ns];
  if (blur[0] || blur[1]) rows.push(["uncertainty", `start ± ${blur[0] / 1e6} ms, end ± ${blur[1] / 1e6} ms`]);
  rows.push(["source", event.source], madeBy(event.provenance));
  const label = `${event.label}, ${spanText(event.start_ns, event.end_ns)}: ${event.caption}`;
  return { seek: event.start_ns, bands: [{ start: event.start_ns, end: event.end_ns, role: "" }], label, title: event.caption, rows };
}

function describeQuestion(question) {
  const rows = [["asked", question.ask_ns], ["answerable from", question.answerable_from_ns], ["kind", `${question.mode}, ${question.task}`]];
  if (question.unanswerable) rows.push(["answerable", "no: nothing in the video answers it"]);
  question.options.forEach((option, k) => rows.push([k === question.correct_option ? `✓ ${"ABCDEFGH"[k] || k}` : "ABCDEFGH"[k] || String(k), option]));
  for (const answer of question.answers) {
    rows.push(["answer", answer.t_ns, answer.text], ["window", [answer.window_start_ns, answer.window_end_ns]]);
    if (answer.valid_until_ns !== undefined) rows.push(["valid until", answer.valid_until_ns]);
  }
  rows.push(...evidenceRows(question.evidence));
  for (const probe of question.test_points) rows.push(["probe", probe.t_ns, `${probe.kind}: ${probe.expected}`]);
  rows.push(madeBy(question.provenance));
  const label = `${question.mode} question at ${formatNs(question.ask_ns)}: ${question.question}`;
  return { seek: question.ask_ns, bands: bandsOf(question.evidence), label, title: question.question, rows };
}

function describeTurn(turn, dialogue) {
  const rows = [["when", [turn.start_ns, turn.end_ns]], ["role", turn.role]];
  if (turn.state) rows.push(["state", turn.state]);
  if (turn.trigger) rows.push(["because of", turn.trigger]);
  if (turn.answerable_from_ns !== undefined) rows.push(["answerable from", turn.answerable_from_ns]);
  if (turn.window_start_ns !== undefined && turn.window_end_ns !== undefined) rows.push(["window", [turn.window_start_ns, turn.window_end_ns]]);
  if (turn.truncated_at_char !== undefined) rows.push(["cut short", `after ${turn.truncated_at_char} characters`]);
  if (turn.intended_text !== undefined) rows.push(["meant to say", turn.intended_text]);
  if (turn.interrupts !== undefined) {
    const other = dialogue.turns.find((candidate) => candidate.id === turn.interrupts);
    rows.push(["interrupts", ...(other ? [other.start_ns, other.text] : [turn.interrupts])]);
  }
  if (!turn.learn) rows.push(["learn", "no"]);
  if (turn.loss_weight !== 1) rows.push(["loss weight", String(turn.loss_weight)]);
  rows.push(...evidenceRows(turn.evidence));
  const cut = turn.truncated_at_char === undefined ? "" : ", cut short";
  const label = `${turn.role}${cut}, ${spanText(turn.start_ns, turn.end_ns)}: ${turn.text}`;
  return { seek: turn.start_ns, bands: bandsOf(turn.evidence), label, title: turn.text, rows };
}

class View {
  constructor(section) {
    const data = JSON.parse(section.querySelector('script[type="application/json"]').textContent);
    this.data = data;
    this.now = 0;
    this.playable = true;
    this.wanted = null;
    this.screen = section.querySelector(".screen");
    this.detail = section.querySelector(".detail");
    this.clock = make("span", {}, formatNs(0));
    this.readout = make("div", { class: "readout" }, this.clock, make("span", {}, formatNs(data.duration_ns)));
    this.video = this.player();
    this.screen.append(this.video, this.readout);
    this.timeline = new Timeline(section.querySelector(".timeline"), data, {
      onSeek: (ns) => this.seek(ns),
      onChoose: (item) => this.tell(item),
    });
    this.show(0);
  }

  player() {
    const video = make("video", { preload: "metadata", controls: "", playsinline: "", src: this.data.src });
    video.muted = true;
    video.setAttribute("muted", "");
    video.style.aspectRatio = `${this.data.width} / ${this.data.height}`;
    video.addEventListener("error", () => this.giveUp());
    video.addEventListener("loadedmetadata", () => {
      // Sound without a picture: the browser knows the container but not the codec.
      if (!video.videoWidth) this.giveUp();
      else if (this.now) this.seek(this.now);
    });
    video.addEventListener("seeked", () => this.arrived());
    video.addEventListener("timeupdate", () => this.follow());
    video.addEventListener("play", () => this.run());
    return video;
  }

  run() {
    const step = () => {
      this.follow();
      if (this.playable && !this.video.paused && !this.video.ended) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  follow() {
    if (!this.playable || this.video.seeking || this.wanted !== null) return;
    const ns = Math.round(this.video.currentTime * NS) - this.data.offset_ns;
    // A browser reports a seek's own goal back; keep the exact number while it stands there.
    if (Math.abs(ns - this.now) > 2 * NUDGE_NS) this.show(Math.min(this.data.duration_ns, Math.max(0, ns)));
  }

  seek(ns) {
    this.show(ns);
    if (!this.playable) return this.picture();
    if (!this.video.readyState) return;
    this.wanted = (ns + this.data.offset_ns + NUDGE_NS) / NS;
    this.video.currentTime = this.wanted;
  }

  arrived() {
    const { wanted, video } = this;
    this.wanted = null;
    if (wanted === null) this.follow();
    // Of a file that starts late a browser may know the length only after the first seek, and cut that one short.
    else if (Math.abs(video.currentTime - wanted) > 0.001 && wanted < video.duration) video.currentTime = wanted;
  }

  show(ns) {
    this.now = ns;
    this.clock.textContent = formatNs(ns);
    this.timeline.moveTo(ns);
  }

  giveUp() {
    if (!this.playable) return;
    this.playable = false;
    const why = this.video.error && this.video.error.code === 3 ? "the browser stopped decoding" : "this browser cannot play the file, or does not find it";
    this.frame = make("div", { class: "picture none" }, "no keyframe picture");
    this.said = make("p", { class: "said", role: "status" });
    this.why = `No video: ${why} (${this.data.format}: ${this.data.name}). `;
    this.video.replaceWith(this.frame);
    this.readout.after(this.said);
    this.picture();
  }

  // The keyframe nearest in time stands in for a video that does not play.
  picture() {
    const near = (this.data.pictures || []).filter((picture) => picture.jpeg);
    near.sort((a, b) => Math.abs(a.t_ns - this.now) - Math.abs(b.t_ns - this.now));
    if (!near.length) {
      this.said.textContent = `${this.why}There is no keyframe picture to show instead.`;
      return;
    }
    const image = make("img", { class: "picture", alt: `Keyframe at ${formatNs(near[0].t_ns)}`, src: `data:image/jpeg;base64,${near[0].jpeg}` });
    this.frame.replaceWith(image);
    this.frame = image;
    this.said.textContent = `${this.why}Showing the nearest keyframe, at ${formatNs(near[0].t_ns)}.`;
  }

  timeButton(value) {
    const text = Array.isArray(value) ? spanText(...value) : formatNs(value);
    const goal = Array.isArray(value) ? value[0] : value;
    const button = make("button", { type: "button", class: "time", "data-ns": goal, title: "Go there" }, text);
    button.addEventListener("click", () => this.seek(goal));
    return button;
  }

  tell(item) {
    const list = make("dl", {});
    for (const [name, ...values] of item.rows) {
      const parts = values.map((value) => (typeof value === "string" ? make("span", { dir: "auto" }, value) : this.timeButton(value)));
      list.append(make("dt", {}, name), make("dd", {}, ...parts));
    }
    const image = item.jpeg ? [make("img", { alt: "", src: `data:image/jpeg;base64,${item.jpeg}` })] : [];
    this.detail.replaceChildren(make("h4", { dir: "auto" }, item.title), ...image, list);
    this.detail.scrollTop = 0;
  }
}

const views = new Map();
const sections = [...document.querySelectorAll("details.video")];

function openNamed() {
  const section = sections.find((candidate) => `#${candidate.id}` === location.hash);
  if (!section) return;
  section.open = true;
  section.scrollIntoView();
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const section of sections) {
    const fits = words.every((word) => section.dataset.text.toLowerCase().includes(word));
    section.hidden = !fits;
    found += fits;
  }
  document.getElementById("found").textContent = words.length ? `${found} of ${sections.length}` : "";
}

for (const section of sections) {
  section.addEventListener("toggle", () => {
    if (section.open && !views.has(section)) views.set(section, new View(section));
  });
}
document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
addEventListener("hashchange", openNamed);
if (sections.length) sections[0].open = true;
openNamed();
