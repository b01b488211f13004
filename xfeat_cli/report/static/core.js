"use strict";
/* What every part of the page uses: data loaded on demand as scripts, elements, numbers, tabs, the dialog. */
window.xfeat = (() => {
  const nonce = document.currentScript.nonce;
  const waiting = new Map(), loaded = new Map();

  /* Data files call this. */
  function put(name, value) {
    const resolve = waiting.get(name);
    waiting.delete(name);
    if (resolve) resolve(value);
  }

  /* The content of data/NAME.js; loaded once, unless it is one of many (`keep` false), of which the last few stay. */
  function load(name, keep = true) {
    if (loaded.has(name)) return loaded.get(name);
    const promise = new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const script = document.createElement("script");
      script.nonce = nonce;
      script.src = `data/${name}.js`;
      script.onload = () => script.remove();
      script.onerror = () => { loaded.delete(name); script.remove(); reject(new Error(`data/${name}.js is missing`)); };
      document.head.append(script);
    });
    loaded.set(name, promise);
    if (!keep) {
      const passing = [...loaded.keys()].filter((key) => /^(keypoints|matches)-/.test(key));
      while (passing.length > 12) loaded.delete(passing.shift());
    }
    return promise;
  }

  /* three.js and d3, which only some parts need. */
  let library_loaded = null;
  function library() {
    library_loaded ||= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.nonce = nonce;
      script.src = "assets/vendor.js";
      script.onload = resolve;
      script.onerror = () => reject(new Error("assets/vendor.js is missing"));
      document.head.append(script);
    });
    return library_loaded;
  }

  /* An element; `text` is text, never markup. */
  function el(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (value === undefined || value === null) continue;
      if (key === "text") element.textContent = value;
      else if (key === "class") element.className = value;
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (key in element && key !== "list") element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const SVG = "http://www.w3.org/2000/svg";
  function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (key === "text") element.textContent = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
  const fixed = (value, digits, unit = "") => (value === null || value === undefined ? "–" : value.toFixed(digits) + unit);
  const percent = (value, digits = 0) => (value === null || value === undefined ? "–" : (100 * value).toFixed(digits) + " %");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function unpack(text, type) {
    const binary = atob(text), bytes = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
    return new type(bytes.buffer);
  }

  function table(headings, rows) {
    const cell = (kind) => (value, column) => {
      const is_text = headings[column].startsWith("<");
      const cell_of = el(kind, { class: is_text ? "text" : undefined });
      cell_of.append(value instanceof Node ? value : kind === "th" ? value.replace("<", "") : String(value));
      return cell_of;
    };
    return el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, ...headings.map(cell("th")))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell("td")))))));
  }

  /* Tabs: by click, arrows, Home and End; the address keeps the open one. */
  const parts = {};
  const tabs = () => [...document.querySelectorAll('[role="tab"]')];
  const panel_of = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

  function part(name, open) { parts[name] = open; }

  async function open(name) {
    const panel = document.getElementById(`panel-${name}`);
    if (parts[name] && !panel.dataset.ready) {
      panel.dataset.ready = "loading";
      try {
        await parts[name](panel);
      } catch (error) {
        panel.append(el("p", { class: "note", text: `This part cannot be shown: ${error.message}` }));
        console.error(error);
      }
      panel.dataset.ready = "yes";
    }
    return panel;
  }

  async function show(name, { focus = false, keep_address = false } = {}) {
    const chosen = document.getElementById(`tab-${name}`) || tabs()[0];
    for (const tab of tabs()) {
      const is_chosen = tab === chosen;
      tab.setAttribute("aria-selected", is_chosen);
      tab.tabIndex = is_chosen ? 0 : -1;
      panel_of(tab).hidden = !is_chosen;
    }
    chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (focus) chosen.focus();
    const part_name = chosen.id.slice(4);
    if (!keep_address) history.replaceState(null, "", `#${part_name}`);
    await open(part_name);
    panel_of(chosen).dispatchEvent(new Event("shown"));
  }

  /* One dialog for photographs and pairs. */
  const dialog = document.getElementById("dialog");
  let on_key = null;
  function show_dialog(title, tools, content, keys = null) {
    on_key = keys;
    dialog.replaceChildren(
      el("div", { class: "head" }, el("h2", { id: "dialog-title", text: title }), ...tools,
        el("button", { text: "Close", onclick: () => dialog.close(), "aria-label": "Close" })),
      el("div", { class: "inside" }, content));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (on_key && !/^(INPUT|SELECT)$/.test(event.target.tagName)) on_key(event);
  });
  dialog.addEventListener("close", () => { on_key = null; dialog.replaceChildren(); });

  /* A canvas over an element, as sharp as the screen, drawn again when the size or the theme changes. */
  function drawn(canvas, draw) {
    const again = () => {
      const { clientWidth: width, clientHeight: height } = canvas;
      if (!width || !height) return;
      const ratio = Math.min(window.devicePixelRatio || 1, 3);
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      draw(context, width, height);
    };
    new ResizeObserver(again).observe(canvas);
    document.addEventListener("theme", again);
    return again;
  }

  const ramp_stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  function ramp(share) {
    const at = Math.max(0, Math.min(1, share)) * (ramp_stops.length - 1), low = Math.min(Math.floor(at), ramp_stops.length - 2);
    return ramp_stops[low].map((value, channel) => Math.round(value + (ramp_stops[low + 1][channel] - value) * (at - low)));
  }
  const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
  function ramp_legend(low, high) {
    const canvas = el("canvas", { class: "ramp", width: 120, height: 1 });
    const context = canvas.getContext("2d");
    for (let x = 0; x < 120; x++) { context.fillStyle = css(ramp(x / 119)); context.fillRect(x, 0, 1, 1); }
    return el("span", {}, low, canvas, high);
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const tab of tabs()) tab.addEventListener("click", () => show(tab.id.slice(4)));
    document.querySelector('[role="tablist"]').addEventListener("keydown", (event) => {
      const all = tabs(), at = all.findIndex((tab) => tab.getAttribute("aria-selected") === "true");
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      show(all[(next + all.length) % all.length].id.slice(4), { focus: true });
    });
    document.getElementById("theme").addEventListener("click", () => {
      const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
      const now = root.dataset.theme || (dark ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
      document.dispatchEvent(new Event("theme"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
    document.getElementById("print").addEventListener("click", async () => {
      for (const name of Object.keys(parts)) if (document.getElementById(`panel-${name}`)) await open(name);
      window.print();
    });
    window.addEventListener("hashchange", () => show(location.hash.slice(1), { keep_address: true }));
    show(location.hash.slice(1) || "summary", { keep_address: true });
  });

  return { put, load, library, el, svg, count, fixed, percent, colour, unpack, table, part, show, show_dialog, drawn, ramp, css, ramp_legend };
})();
