"use strict";
// Every name and figure comes as JSON and is written with textContent: nothing is parsed as HTML.
const $ = id => document.getElementById(id);
const make = (tag, className, text) => {
  const one = document.createElement(tag);
  if (className) one.className = className;
  if (text !== undefined) one.textContent = text;
  return one;
};
const svg = (tag, set) => {
  const one = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in set) one.setAttribute(key, set[key]);
  return one;
};
const two = n => String(n).padStart(2, "0");
// The time of day by the viewer's clock: `s` is counted from when the run's page was opened.
const daytime = s => {
  const at = new Date(Date.now() - 1000 * (uptime - s));
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
};
const sleep = ms => new Promise(done => setTimeout(done, ms));
const MB = 1 << 20, KEEP = 900;
const fixed = (value, digits) => value == null ? null : value.toFixed(digits);
const brief = value => value == null ? null : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const clock = s => {
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return (h ? h + ":" + two(m) : m) + ":" + two(Math.floor(s) % 60);
};

/* theme: the system's, until the button is pressed */
const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
try { chosen = localStorage.getItem("edgeseg-theme"); } catch (error) { /* storage may be off */ }
const paint = () => { document.documentElement.dataset.theme = chosen || (system.matches ? "dark" : "light"); };
system.addEventListener("change", paint);
$("theme").addEventListener("click", () => {
  chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("edgeseg-theme", chosen); } catch (error) { /* storage may be off */ }
  paint();
});
paint();

/* picture and mask */
const picture = $("picture"), mask = $("mask"), small = document.createElement("canvas");
const page = { camera: 0, classes: [], hidden: new Set(), labels: null, size: [0, 0], paused: false, after: 0 };

function colour() {
  if (!page.labels) return;
  const [width, height] = page.size, image = new ImageData(width, height);
  const lut = new Uint32Array(256), out = new Uint32Array(image.data.buffer);
  page.classes.forEach((one, i) => {
    if (!page.hidden.has(i)) lut[i] = (255 << 24 | one.rgb[2] << 16 | one.rgb[1] << 8 | one.rgb[0]) >>> 0;
  });
  for (let i = 0; i < out.length; i++) out[i] = lut[page.labels[i]];
  if (mask.width !== width || mask.height !== height) { mask.width = width; mask.height = height; }
  mask.getContext("2d").putImageData(image, 0, 0);
}

async function show(buffer, camera) {
  const head = new DataView(buffer).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, head)));
  const jpeg = new Blob([new Uint8Array(buffer, 4 + head, facts.jpeg)], { type: "image/jpeg" });
  const png = new Blob([new Uint8Array(buffer, 4 + head + facts.jpeg, facts.png)], { type: "image/png" });
  const plain = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const [photo, grey] = await Promise.all([createImageBitmap(jpeg), createImageBitmap(png, plain)]);
  // Another camera was chosen while this picture was decoded.
  if (camera !== page.camera) { photo.close(); grey.close(); return; }
  const { width, height } = facts;
  if (picture.width !== width || picture.height !== height) { picture.width = width; picture.height = height; }
  picture.getContext("2d").drawImage(photo, 0, 0);
  small.width = width; small.height = height;
  const context = small.getContext("2d", { willReadFrequently: true });
  context.drawImage(grey, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data, labels = new Uint8Array(width * height);
  for (let i = 0; i < labels.length; i++) labels[i] = rgba[4 * i];
  photo.close(); grey.close();
  page.labels = labels; page.size = [width, height]; page.after = facts.number;
  colour();
  $("waiting").hidden = true;
  $("stamp").hidden = false;
  $("stamp").textContent = "frame " + facts.index;
}

async function watch() {
  for (;;) {
    if (page.paused || document.hidden) { await sleep(200); continue; }
    const camera = page.camera;
    try {
      const answer = await fetch(`/frame?camera=${camera}&after=${page.after}`, { cache: "no-store" });
      if (answer.status === 200) {
        const buffer = await answer.arrayBuffer();
        if (camera === page.camera) await show(buffer, camera);
      } else if (answer.status !== 204) await sleep(1000);
    } catch (error) { await sleep(1000); }
  }
}

const opacity = () => {
  mask.style.opacity = $("alpha").value / 100;
  $("alphaText").textContent = $("alpha").value + " %";
};
$("alpha").addEventListener("input", opacity);
opacity();
$("pause").addEventListener("click", () => {
  page.paused = !page.paused;
  $("pause").textContent = page.paused ? "Resume" : "Pause";
  $("pause").setAttribute("aria-pressed", page.paused);
});
$("stage").addEventListener("pointermove", event => {
  const box = mask.getBoundingClientRect(), [width, height] = page.size;
  const scale = Math.min(box.width / width, box.height / height);
  const x = Math.floor((event.clientX - box.left - (box.width - width * scale) / 2) / scale);
  const y = Math.floor((event.clientY - box.top - (box.height - height * scale) / 2) / scale);
  const inside = page.labels && x >= 0 && y >= 0 && x < width && y < height;
  const found = inside ? page.classes[page.labels[y * width + x]] : null;
  $("under").hidden = !inside;
  if (!inside) return;
  const under = $("under"), stage = $("stage").getBoundingClientRect();
  under.textContent = found ? found.name : "no class";
  // Beside the pointer, on the side that has room.
  const left = event.clientX - stage.left, top = event.clientY - stage.top;
  under.style.left = (left + 14 + under.offsetWidth > stage.width ? left - 14 - under.offsetWidth : left + 14) + "px";
  under.style.top = Math.max(0, top - under.offsetHeight - 8) + "px";
});
$("stage").addEventListener("pointerleave", () => { $("under").hidden = true; });

/* classes */
let rows = [];
function legend(classes) {
  if (rows.length === classes.length) return;
  page.classes = classes;
  rows = classes.map((one, i) => {
    const button = make("button"), swatch = make("span", "swatch"), bar = make("span", "bar"), fill = make("i");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    swatch.style.background = `rgb(${one.rgb.map(Number).join()})`;
    bar.append(fill);
    const share = make("span", "share", "–");
    button.append(swatch, make("span", "name", one.name), bar, share);
    button.addEventListener("click", () => {
      const off = !page.hidden.delete(i);
      if (off) page.hidden.add(i);
      button.classList.toggle("off", off);
      button.setAttribute("aria-pressed", off);
      colour();
    });
    const item = make("li");
    item.append(button);
    return { item, fill, share };
  });
  $("classes").replaceChildren(...rows.map(row => row.item));
  colour();
}
function shares(values) {
  rows.forEach((row, i) => {
    const value = values ? values[i] : null;
    row.fill.style.width = value == null ? "0" : 100 * value + "%";
    row.share.textContent = value == null ? "–" : fixed(100 * value, 1) + " %";
  });
}

/* charts */
const CHARTS = [
  { title: "Frames per second", from: "camera", lines: ["fps"], unit: "FPS" },
  { title: "Latency", from: "camera", lines: ["ready", "ready_p99"], names: ["p50", "p99"], unit: "ms" },
  { title: "Frame age", from: "camera", lines: ["age", "age_p99"], names: ["p50", "p99"], unit: "ms", absent: "Frames of files have no age; only cameras and paced replays do." },
  { title: "Memory", from: "system", lines: ["memory"], unit: "MiB", scale: 1 / MB, absent: "unavailable: the kernel does not say" },
  { title: "Power", from: "system", lines: ["power"], unit: "W", absent: "unavailable: this machine has no readable power sensor" },
  { title: "Agreement with the reference", from: "camera", lines: ["agreement"], unit: "%", scale: 100, top: 100, absent: "unavailable: no frame was compared with a reference yet (--shadow names one)" },
];
const W = 400, H = 132, L = 38, R = 6, T = 8, B = 18;
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find(step => step * power >= value);
}
class Chart {
  constructor(spec) {
    this.spec = spec;
    this.card = make("section", "card chart");
    const head = make("h2");
    this.note = make("small");
    this.value = make("span", "value", "–");
    head.append(make("span", "", spec.title), this.note, this.value);
    (spec.names || []).forEach((name, i) => this.note.append(make("i", "key k" + i), name));
    this.plot = svg("svg", { class: "plot", role: "img", "aria-label": spec.title });
    this.absent = make("p", "absent", spec.absent || "no frame yet");
    this.card.append(head, this.plot, this.absent);
    this.plot.addEventListener("pointermove", event => { this.at = event.offsetX; this.draw(); });
    this.plot.addEventListener("pointerleave", () => { this.at = null; this.draw(); });
  }
  update(series, limit) { this.series = series; this.limit = limit; this.draw(); }
  draw() {
    const { spec, series, plot } = this, scale = spec.scale || 1;
    const t = series ? series.t : [], width = plot.clientWidth || W;
    const lines = spec.lines.map(name => (series && series[name] || []).map(v => v == null ? null : v * scale));
    const known = lines[0].some(v => v != null);
    plot.style.display = known ? "block" : "none";
    this.absent.style.display = known ? "none" : "grid";
    if (!known) { this.value.textContent = "–"; return; }
    plot.setAttribute("viewBox", `0 0 ${width} ${H}`);
    const first = t[0], last = Math.max(t[t.length - 1], first + 30);
    const all = lines.flat().filter(v => v != null);
    // Around a high level the changes matter: the axis leaves zero when all lies in its upper part.
    const low = Math.min(...all), high = Math.max(...all), lift = high > 0 && low > 0.75 * high && !spec.zero;
    let floor = 0, top = spec.top || nice(high * 1.05);
    if (lift) { const pad = Math.max((high - low) * 0.4, high * 0.02); floor = Math.max(0, low - pad); top = spec.top || high + pad; }
    const x = s => L + (width - L - R) * (s - first) / (last - first);
    const y = v => H - B - (H - T - B) * (v - floor) / (top - floor);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const v = floor + share * (top - floor);
      parts.push(svg("line", { class: "grid", x1: L, x2: width - R, y1: y(v), y2: y(v) }));
      const label = svg("text", { x: L - 6, y: y(v) + 4, "text-anchor": "end" });
      label.textContent = top - floor < 3 && top >= 10 ? v.toFixed(1) : brief(v).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
      parts.push(label);
    }
    for (const [s, anchor] of [[first, "start"], [last, "end"]]) {
      const label = svg("text", { x: x(s), y: H - 3, "text-anchor": anchor });
      label.textContent = daytime(s);
      parts.push(label);
    }
    const unit = svg("text", { class: "unit", x: L + 4, y: T + 9 });
    unit.textContent = spec.unit;
    parts.push(unit);
    if (this.limit != null && this.limit * scale >= floor) parts.push(svg("path", { class: "limit", d: `M${L} ${y(this.limit * scale)}H${width - R}` }));
    lines.forEach((line, i) => {
      let d = "", area = "", pen = "M", start = 0;
      line.forEach((v, k) => {
        if (v == null) { pen = "M"; return; }
        d += `${pen}${x(t[k]).toFixed(1)} ${y(v).toFixed(1)}`;
        // A second without a frame is a gap, but one point between two gaps must show too.
        if (pen === "M") { d += "h0.01"; start = x(t[k]); }
        pen = "L";
        if (i === 0 && line[k + 1] == null) area += `${d.slice(d.lastIndexOf("M"))}L${x(t[k]).toFixed(1)} ${H - B}L${start.toFixed(1)} ${H - B}Z`;
      });
      if (i === 0) parts.push(svg("path", { class: "area", d: area }));
      parts.push(svg("path", { class: "l" + i, d }));
    });
    let k = t.length - 1;
    while (k > 0 && lines[0][k] == null) k--;
    if (this.at != null) {
      k = t.reduce((best, s, i) => Math.abs(x(s) - this.at) < Math.abs(x(t[best]) - this.at) ? i : best, 0);
      parts.push(svg("line", { class: "cross", x1: x(t[k]), x2: x(t[k]), y1: T, y2: H - B }));
    }
    if (lines[0][k] != null) parts.push(svg("circle", { cx: x(t[k]), cy: y(lines[0][k]), r: 3 }));
    const values = lines.map(line => brief(line[k]) ?? "–").join(" / ");
    this.value.textContent = `${values} ${spec.unit}` + (this.at != null ? " at " + daytime(t[k]) : "");
    plot.replaceChildren(...parts);
  }
}
const charts = CHARTS.map(spec => new Chart(spec));
$("charts").replaceChildren(...charts.map(chart => chart.card));
new ResizeObserver(() => charts.forEach(chart => chart.draw())).observe($("charts"));

/* figures */
function join(kept, fresh) {
  const out = {};
  for (const name in fresh) out[name] = [...(kept && kept[name] || []), ...fresh[name]].slice(-KEEP);
  return out;
}
const tile = (title, value, unit, note, state) => {
  const one = make("div", "tile" + (state ? " " + state : "")), big = make("b", value == null ? "none" : "", value ?? "unavailable");
  if (value != null && unit) big.append(make("small", "", unit));
  one.append(make("span", "", title), big, make("span", "", note || " "));
  one.title = note || "";
  return one;
};
const hottest = zones => zones ? Object.entries(zones).reduce((a, b) => b[1] > a[1] ? b : a) : null;
// Frames dropped in the newest ten seconds; what was dropped once and long ago is no trouble now.
const RECENT_S = 10;
const dropping = series => (series && series.dropped || []).slice(-RECENT_S).reduce((sum, n) => sum + (n || 0), 0);
function tiles(camera, machine, drops) {
  const long = value => value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${brief(value)} ms`;
  const infer = camera.latency_ms.infer, age = camera.frame_age_ms, hot = machine && hottest(machine.temperature_c);
  const shadow = camera.shadow, taken = camera.dropped + camera.frames;
  const wanted = camera.source_fps ? `source ${brief(camera.source_fps)} FPS` : `${camera.frames} frames`;
  return [
    tile("Throughput", brief(camera.fps), "FPS", wanted),
    tile("Network, p50", infer ? brief(infer.p50) : null, "ms", infer && `p99 ${long(infer.p99)}`),
    camera.live ? tile("Frame age, p50", age ? brief(age.p50) : null, "ms", age && `p99 ${long(age.p99)}`)
      : tile("Frames", String(camera.frames), camera.length ? `of ${camera.length}` : "", "a file: none is dropped"),
    camera.live ? tile("Dropped", String(camera.dropped), "", taken ? `${fixed(100 * camera.dropped / taken, 1)} % of ${taken}${camera.reconnects ? `, found again ${camera.reconnects}×` : ""}` : "", drops ? "warn" : "")
      : tile("Memory", machine && machine.memory_bytes != null ? fixed(machine.memory_bytes / MB, 0) : null, "MiB", machine && machine.memory_method),
    tile("Power", machine ? brief(machine.power_w) : null, "W", machine && machine.power_method),
    shadow ? tile("Agreement", shadow.agreement == null ? null : fixed(100 * shadow.agreement, 2), "%", shadow.threshold == null ? "no alarm set" : `${shadow.alarm ? "alarm: " : "alarm "}below ${+(100 * shadow.threshold).toFixed(2)} %`, shadow.threshold == null || shadow.agreement == null ? "" : shadow.alarm ? "bad" : shadow.agreement < shadow.threshold ? "warn" : "good")
      : tile("Hottest", hot ? fixed(hot[1], 1) : null, "°C", hot ? hot[0] : ""),
  ];
}
function stages(camera) {
  const names = { capture: "capture", preprocess: "preprocess", infer: "network", ready: "capture to labels" };
  const rows = Object.entries(names).filter(([key]) => camera.latency_ms[key]);
  return rows.map(([key, name]) => {
    const row = make("tr");
    row.append(make("td", "", name), ...["p50", "p90", "p99"].map(p => make("td", "", fixed(camera.latency_ms[key][p], 2))));
    return row;
  });
}
function facts(status) {
  const m = status.system, b = status.backend, out = [];
  const add = (name, value) => out.push(make("dt", "", name), make("dd", "", value ?? "unavailable"));
  add("Runs on", [b.runtime, b.precision].filter(Boolean).join(", ") || null);
  if (m) {
    add("Machine", m.machine);
    add("Memory", m.memory_bytes == null ? null : `${fixed(m.memory_bytes / MB, 0)} MiB, ${m.memory_method}`);
    add("GPU load", m.gpu_load == null ? null : fixed(100 * m.gpu_load, 0) + " %");
    add("Clocks", [m.gpu_hz && `GPU ${fixed(m.gpu_hz / 1e6, 0)} MHz`, m.cpu_hz && `CPU ${fixed(m.cpu_hz / 1e6, 0)} MHz`].filter(Boolean).join(", ") || null);
    add("Temperature", m.temperature_c && Object.entries(m.temperature_c).map(([zone, c]) => `${zone} ${fixed(c, 0)} °C`).join(", "));
    add("Power", m.rails_w && Object.entries(m.rails_w).map(([rail, w]) => `${rail} ${fixed(w, 1)} W`).join(", "));
    const happened = m.throttle && Object.entries(m.throttle.events).filter(e => e[1]).map(([name, n]) => `${name} ${n}×`);
    add("Slowed by", m.throttle && ([...m.throttle.active, ...happened].join(", ") || "nothing"));
  }
  return out;
}
function events(lines, many) {
  if (!lines.length) return [make("li", "empty", "Nothing so far.")];
  return lines.map(line => {
    const item = make("li", line.kind), when = make("time", "", daytime(line.at_s));
    const text = (many && line.camera != null ? `camera ${line.camera}: ` : "") + line.text;
    const long = line.until_s - line.at_s >= 1 ? ` in ${clock(line.until_s - line.at_s)}` : "";
    item.append(when, make("span", "text", text), make("span", "count", line.count > 1 ? `${line.count}×${long}` : ""));
    return item;
  });
}
const STATES = { live: "good", connecting: "warn", stale: "warn", lost: "bad" };
let since = -1, kept = null, keptCameras = [], signature = "";
let uptime = 0;
function update(status) {
  // Another run answers at this address now.
  if (status.uptime_s < uptime) { location.reload(); return; }
  uptime = status.uptime_s;
  kept = join(kept, status.series);
  keptCameras = status.cameras.map((camera, i) => join(keptCameras[i], camera.series));
  if (kept.t.length) since = kept.t[kept.t.length - 1];
  else if (keptCameras.length && keptCameras[0].t.length) since = keptCameras[0].t[keptCameras[0].t.length - 1];
  const camera = status.cameras[page.camera];
  if (!camera) return;
  legend(status.classes);
  shares(camera.shares);
  const many = status.cameras.length > 1, names = status.cameras.map(one => one.source).join("\n");
  $("cameras").hidden = !many;
  if (many && names !== signature) {
    $("cameras").replaceChildren(...status.cameras.map((one, i) => new Option(`${i}: ${one.source}`, i, false, i === page.camera)));
    signature = names;
  }
  $("about").textContent = `${status.bundle.name} · ${status.bundle.precision} · ${camera.source}`;
  $("about").title = $("about").textContent;
  document.title = `${fixed(camera.fps, 1) ?? "–"} FPS · edgeseg`;
  const quiet = camera.silent_s != null && camera.silent_s > 3;
  const state = camera.state || (quiet ? "no new frame" : camera.frames ? "running" : "starting");
  const drops = camera.live ? dropping(keptCameras[page.camera]) : 0, alarm = camera.shadow && camera.shadow.alarm;
  // The worst comes first: a camera that is gone, then what the reference says, then lost frames.
  let shown = state, colour = STATES[state] || (quiet ? "warn" : "good");
  if (colour === "good" && alarm) { shown = "alarm: agreement"; colour = "bad"; }
  else if (colour === "good" && drops) { shown = "dropping frames"; colour = "warn"; }
  $("state").textContent = shown;
  $("state").className = "pill " + colour;
  $("tiles").replaceChildren(...tiles(camera, status.system, drops));
  $("stages").replaceChildren(...stages(camera));
  $("machine").replaceChildren(...facts(status));
  $("events").replaceChildren(...events(status.events, many));
  const limit = camera.shadow ? camera.shadow.threshold : null;
  charts.forEach(chart => chart.update(chart.spec.from === "system" ? kept : keptCameras[page.camera], chart.spec.title.startsWith("Agreement") ? limit : null));
}
$("cameras").addEventListener("change", () => {
  page.camera = Number($("cameras").value);
  page.after = 0; page.labels = null;
  $("waiting").hidden = false;
});
async function poll() {
  let pause = 1000;
  for (;;) {
    try {
      const answer = await fetch(`/status?since=${since}`, { cache: "no-store" });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(answer.status);
      update(await answer.json());
      $("banner").hidden = true;
      pause = 1000;
    } catch (error) {
      $("banner").textContent = "The run does not answer; it may have ended. Trying again.";
      $("banner").hidden = false;
      $("state").textContent = "not connected";
      $("state").className = "pill bad";
      pause = Math.min(2 * pause, 10000);
    }
    await sleep(pause);
  }
}
watch();
poll();
