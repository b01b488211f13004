"use strict";
/* The photographs: a list that grows as one scrolls, and each opened with its keypoints and partners. */
(() => {
  const { el, load, count, fixed, percent, part, show_dialog, drawn, unpack, colour } = xfeat;
  const PAGE = 60, PARTNERS = 24;
  const STATES = { registered: ["✓", "registered"], "other model": ["◐", "other model"], missing: ["✕", "missing"], unreadable: ["✕", "unreadable"] };
  const SORTS = {
    "missing first": (images, a, b) => order(images, a) - order(images, b) || a - b,
    name: (images, a, b) => a - b,
    "fewest keypoints": (images, a, b) => number(images.keypoints[a]) - number(images.keypoints[b]),
    "fewest verified matches": (images, a, b) => images.verified_matches[a] - images.verified_matches[b],
    "fewest observations": (images, a, b) => images.observations[a] - images.observations[b],
    "largest error": (images, a, b) => number(images.reprojection_px[b]) - number(images.reprojection_px[a]),
    "largest GPS deviation": (images, a, b) => number(images.gps_deviation_m[b]) - number(images.gps_deviation_m[a]),
  };
  const number = (value) => (value === null ? -1 : value);
  const order = (images, row) => ["unreadable", "missing", "other model", "registered"].indexOf(images.state[row]);

  function badge(state) {
    const [mark, text] = STATES[state];
    return el("span", { class: `badge ${state.split(" ")[0]}` }, el("span", { "aria-hidden": "true", text: mark }), text);
  }

  function picture(images, row, kind) {
    const file = images[kind][row];
    if (!file) return el("span", { class: "none", text: "no picture" });
    return el("img", { src: `photos/${file}`, alt: "", loading: "lazy", decoding: "async" });
  }

  function card(images, row) {
    const fact = (name, value) => [el("span", { text: name }), el("b", { text: value })];
    return el("button", { class: "card", "data-row": row, onclick: () => open_photograph(row) },
      el("span", { class: "frame" }, picture(images, row, "thumbnail"), badge(images.state[row])),
      el("span", { class: "body" },
        el("span", { class: "title", text: images.name[row], title: images.name[row] }),
        images.reason[row] ? el("span", { class: "why", text: images.reason[row] }) : null,
        el("span", { class: "facts" },
          ...fact("keypoints", count(images.keypoints[row])),
          ...fact("verified", count(images.verified_matches[row])),
          ...fact("observations", count(images.observations[row])),
          ...fact("error", fixed(images.reprojection_px[row], 2, " px")))));
  }

  part("photographs", async (panel) => {
    const images = await load("images"), all = images.name.map((_, row) => row);
    const search = el("input", { type: "search", placeholder: "name", "aria-label": "Search by name" });
    const has_gps = images.gps_deviation_m.some((value) => value !== null);
    const sort = el("select", {}, ...Object.keys(SORTS).filter((name) => has_gps || !name.includes("GPS")).map((name) => el("option", { text: name })));
    const states = el("select", {}, ...["all", ...Object.keys(STATES).filter((state) => images.state.includes(state))].map((name) => el("option", { text: name })));
    const total = el("span", { class: "count", role: "status" });
    const cards = el("div", { class: "cards" });
    const more = el("button", { class: "more", text: "Show more", onclick: () => grow() });
    let chosen = [], shown = 0;

    function grow() {
      const next = chosen.slice(shown, shown + PAGE);
      cards.append(...next.map((row) => card(images, row)));
      shown += next.length;
      more.hidden = shown >= chosen.length;
      total.textContent = `${count(chosen.length)} of ${count(all.length)} photographs`;
    }
    function choose() {
      const wanted = search.value.trim().toLowerCase();
      chosen = all.filter((row) => (states.value === "all" || images.state[row] === states.value) && images.name[row].toLowerCase().includes(wanted));
      chosen.sort((a, b) => SORTS[sort.value](images, a, b));
      cards.replaceChildren();
      shown = 0;
      grow();
    }
    for (const control of [search, sort, states]) control.addEventListener("input", choose);
    panel.append(
      el("div", { class: "bar" }, search, el("label", {}, "sorted by", sort), el("label", {}, "state", states), total),
      cards, more);
    choose();
    new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting) && !more.hidden) grow(); }, { rootMargin: "600px" }).observe(more);
  });

  function draw_keypoints(canvas, keypoints) {
    const seen = unpack(keypoints.seen, Uint16Array), others = unpack(keypoints.others, Uint16Array);
    return drawn(canvas, (context, width, height) => {
      const dots = (places, style, radius, filled) => {
        context.beginPath();
        for (let at = 0; at < places.length; at += 2) {
          const x = (places[at] / 65535) * width, y = (places[at + 1] / 65535) * height;
          context.moveTo(x + radius, y);
          context.arc(x, y, radius, 0, 2 * Math.PI);
        }
        if (filled) { context.fillStyle = style; context.fill(); } else { context.strokeStyle = style; context.lineWidth = 1.3; context.stroke(); }
      };
      dots(others, "rgb(242 162 58 / .9)", 2.4, false);
      dots(seen, "rgb(64 176 248 / .95)", 2.2, true);
    });
  }

  /* Partners of a photograph by verified matches. */
  function partners(pairs, row) {
    const found = [];
    for (let at = 0; at < pairs.image0.length; at++)
      if (pairs.image0[at] === row || pairs.image1[at] === row) found.push(at);
    return found.sort((a, b) => pairs.inliers[b] - pairs.inliers[a]);
  }

  async function open_photograph(row) {
    const [images, pairs] = await Promise.all([load("images"), load("pairs")]);
    const frame = el("div", { class: "photo" });
    const canvas = el("canvas", { "aria-hidden": "true" });
    const file = images.preview[row];
    if (file) frame.append(el("img", { src: `photos/${file}`, alt: `The photograph ${images.name[row]}`, width: images.width[row] || 4, height: images.height[row] || 3 }));
    else frame.append(el("canvas", { width: images.width[row] || 4, height: images.height[row] || 3, hidden: true }), el("p", { class: "note", text: "The photograph is not here." }));
    frame.append(canvas);
    const toggle = el("input", { type: "checkbox", checked: true, oninput: () => { canvas.hidden = !toggle.checked; } });
    const found = partners(pairs, row);
    const facts = [
      ["state", images.state[row]],
      ["keypoints", count(images.keypoints[row])],
      ["coverage of the image", percent(images.coverage[row])],
      ["pairs, verified", `${count(images.pairs[row])}, ${count(images.verified_pairs[row])}`],
      ["verified matches", count(images.verified_matches[row])],
      ["observations of 3-D points", count(images.observations[row])],
      ["reprojection error", fixed(images.reprojection_px[row], 3, " px")],
      ["camera", images.camera[row] === null ? "–" : String(images.camera[row])],
      ["size", images.width[row] ? `${images.width[row]} × ${images.height[row]}` : "–"],
    ];
    if (images.gps_deviation_m[row] !== null) facts.push(["away from GPS", fixed(images.gps_deviation_m[row], 2, " m")]);
    const list = found.slice(0, PARTNERS).map((at) => {
      const other = pairs.image0[at] === row ? pairs.image1[at] : pairs.image0[at];
      return [el("button", { text: images.name[other], onclick: () => xfeat.open_pair(at) }), count(pairs.inliers[at]), count(pairs.matches[at])];
    });
    const side = el("div", {},
      images.reason[row] ? el("p", { text: images.reason[row] }) : null,
      el("table", { class: "facts-table" }, el("tbody", {}, ...facts.map(([name, value]) => el("tr", {}, el("td", { text: name }), el("td", { text: value }))))),
      el("h3", { text: found.length ? `Matched with ${count(found.length)}` : "Matched with none" }),
      list.length ? xfeat.table(["<with", "verified", "of"], list) : null,
      found.length > PARTNERS ? el("p", { class: "note", text: `and ${count(found.length - PARTNERS)} more` }) : null);
    const content = el("div", { class: "detail" },
      el("div", {}, frame, el("div", { class: "legend" },
        el("label", {}, toggle, " keypoints"),
        el("span", { class: "verified" }, el("i", { class: "dot full" }), "3-D point"),
        el("span", { class: "rejected" }, el("i", { class: "dot" }), "not used"))),
      side);
    const step = (by) => { const next = row + by; if (next >= 0 && next < images.name.length) open_photograph(next); };
    show_dialog(images.name[row], [
      el("button", { text: "←", "aria-label": "Photograph before", disabled: row === 0, onclick: () => step(-1) }),
      el("button", { text: "→", "aria-label": "Photograph after", disabled: row === images.name.length - 1, onclick: () => step(1) }),
    ], content, (event) => { if (event.key === "ArrowLeft") step(-1); else if (event.key === "ArrowRight") step(1); });
    try {
      const file_of = await load(`keypoints-${Math.floor(row / images.in_a_file)}`, false);
      if (file_of[row]) draw_keypoints(canvas, file_of[row]);
    } catch { toggle.disabled = true; toggle.checked = false; }
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const item of document.querySelectorAll("#missing li[data-name]")) {
      const name = item.querySelector("b");
      name.replaceWith(el("button", { text: name.textContent, onclick: async () => open_photograph((await load("images")).name.indexOf(item.dataset.name)) }));
    }
  });

  Object.assign(xfeat, { open_photograph, picture, badge });
})();
