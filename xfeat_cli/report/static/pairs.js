"use strict";
/* The pairs: matrix, graph, weak links, and each pair opened with its matches. */
(() => {
  const { el, svg, load, count, part, show_dialog, drawn, unpack, ramp, css, ramp_legend, colour, table } = xfeat;
  const CELLS = 600, STEP = 25, LISTED = 200;

  async function open_pair(at) {
    const [images, pairs] = await Promise.all([load("images"), load("pairs")]);
    const rows = [pairs.image0[at], pairs.image1[at]], pair = pairs.row ? pairs.row[at] : at;
    const figures = rows.map((row) => {
      const file = images.preview[row];
      const shape = { width: images.width[row] || 4, height: images.height[row] || 3 };
      return el("figure", {},
        file ? el("img", { src: `photos/${file}`, alt: `The photograph ${images.name[row]}`, ...shape }) : el("img", { alt: "", src: "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==", ...shape }),
        el("figcaption", {}, el("button", { text: images.name[row], class: "plain", onclick: () => xfeat.open_photograph(row) })));
    });
    const canvas = el("canvas", { "aria-hidden": "true" });
    const wide = rows.every((row) => images.width[row] > 1.2 * images.height[row]);
    const holder = el("div", { class: `pair${wide ? " tall" : ""}` }, ...figures, canvas);
    const verified = el("input", { type: "checkbox", checked: true }), rejected = el("input", { type: "checkbox", checked: true });
    const about = el("span", {});
    const content = el("div", {}, holder, el("div", { class: "legend" },
      el("label", { class: "verified" }, verified, el("i", {}), `${count(pairs.inliers[at])} verified`),
      el("label", { class: "rejected" }, rejected, el("i", { class: "dash" }), `${count(pairs.matches[at] - pairs.inliers[at])} rejected`),
      about));
    show_dialog(`${images.name[rows[0]]} and ${images.name[rows[1]]}`, [], content);
    if (!pairs.drawn_set) pairs.drawn_set = new Set(pairs.drawn);
    if (!pairs.drawn_set.has(pair)) {
      about.textContent = "The matches of this pair are not on the page; xfeat view matches.h5 shows them.";
      return;
    }
    const matches = (await load(`matches-${Math.floor(pair / pairs.in_a_file)}`, false))[pair];
    const ends = (kind) => matches[kind].map((places) => unpack(places, Uint16Array));
    const all = { verified: ends("verified"), rejected: ends("rejected") };
    const shown = all.verified[0].length / 2 + all.rejected[0].length / 2;
    if (shown < pairs.matches[at]) about.textContent = `${count(shown)} of them are drawn`;
    const again = drawn(canvas, (context) => {
      const frame = holder.getBoundingClientRect();
      const boxes = figures.map((figure) => figure.querySelector("img").getBoundingClientRect());
      const place = (points, image, index) => [
        boxes[image].left - frame.left + (points[index] / 65535) * boxes[image].width,
        boxes[image].top - frame.top + (points[index + 1] / 65535) * boxes[image].height];
      const lines = (points, style, dash, wide_line) => {
        context.strokeStyle = style;
        context.lineWidth = wide_line;
        context.setLineDash(dash);
        context.beginPath();
        for (let index = 0; index < points[0].length; index += 2) {
          context.moveTo(...place(points[0], 0, index));
          context.lineTo(...place(points[1], 1, index));
        }
        context.stroke();
        context.setLineDash([]);
        context.beginPath();
        for (const image of [0, 1]) for (let index = 0; index < points[image].length; index += 2) {
          const [x, y] = place(points[image], image, index);
          if (dash.length) { context.moveTo(x - 3, y - 3); context.lineTo(x + 3, y + 3); context.moveTo(x + 3, y - 3); context.lineTo(x - 3, y + 3); }
          else { context.moveTo(x + 2.5, y); context.arc(x, y, 2.5, 0, 2 * Math.PI); }
        }
        context.lineWidth = 1.4;
        context.stroke();
      };
      if (rejected.checked) lines(all.rejected, "rgb(242 148 40 / .85)", [6, 5], 1);
      if (verified.checked) lines(all.verified, "rgb(58 172 248 / .8)", [], 1);
    });
    for (const box of [verified, rejected]) box.addEventListener("input", again);
    for (const figure of figures) figure.querySelector("img").addEventListener("load", again);
    again();
  }

  /* The matrix of a range of images [start, end), in cells of several images when there are many. */
  function matrix(images, pairs) {
    const total = images.name.length;
    const box = el("div", { class: "box" });
    const canvas = el("canvas", { role: "img", "aria-label": "Matrix of verified matches; the list of pairs below says the same" });
    const about = el("p", { class: "note", role: "status" }), legend = el("div", { class: "legend" });
    const whole = el("button", { text: "Whole matrix", hidden: true, onclick: () => zoom(0, total, 0, total) });
    let view, cells, block, side_x, side_y, first;

    function zoom(left, right, top, bottom) {
      view = { left, right, top, bottom };
      block = Math.max(1, Math.ceil(Math.max(right - left, bottom - top) / CELLS));
      side_x = Math.ceil((right - left) / block);
      side_y = Math.ceil((bottom - top) / block);
      cells = new Float64Array(side_x * side_y);
      first = new Int32Array(side_x * side_y).fill(-1);
      const add = (x, y, at) => {
        if (x < left || x >= right || y < top || y >= bottom) return;
        const cell = Math.floor((y - top) / block) * side_x + Math.floor((x - left) / block);
        cells[cell] += pairs.inliers[at];
        if (first[cell] < 0 || pairs.inliers[at] > pairs.inliers[first[cell]]) first[cell] = at;
      };
      for (let at = 0; at < pairs.image0.length; at++) { add(pairs.image0[at], pairs.image1[at], at); add(pairs.image1[at], pairs.image0[at], at); }
      whole.hidden = right - left === total && bottom - top === total;
      describe(-1);
      again();
    }
    function describe(cell) {
      if (cell < 0) { about.textContent = block > 1 ? `A cell is ${block} by ${block} photographs; a click looks closer.` : "A click on a cell shows the two photographs and their matches."; return; }
      const x = view.left + (cell % side_x) * block, y = view.top + Math.floor(cell / side_x) * block;
      const names = block > 1 ? `${images.name[y]} … with ${images.name[x]} …` : `${images.name[y]} with ${images.name[x]}`;
      about.textContent = x === y && block === 1 ? images.name[x] : `${names}: ${count(cells[cell])} verified matches`;
    }
    const again = drawn(canvas, (context, width, height) => {
      let low = Infinity, high = 0;
      for (const value of cells) if (value > 0) { low = Math.min(low, value); high = Math.max(high, value); }
      const picture = new ImageData(side_x, side_y), empty = colour("soft").match(/[0-9a-f]{2}/gi).map((part_of) => parseInt(part_of, 16));
      const span = Math.log(high / low) || 1;
      for (let cell = 0; cell < cells.length; cell++) {
        const [red, green, blue] = cells[cell] > 0 ? ramp(high > low ? Math.log(cells[cell] / low) / span : 0.6) : empty;
        picture.data.set([red, green, blue, 255], 4 * cell);
      }
      const small = new OffscreenCanvas(side_x, side_y);
      small.getContext("2d").putImageData(picture, 0, 0);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, width, height);
      const step = width / side_x;
      if (step > 6) {
        context.strokeStyle = colour("card");
        context.lineWidth = 1;
        context.beginPath();
        for (let line = 0; line <= side_x; line++) { context.moveTo(line * step, 0); context.lineTo(line * step, height); context.moveTo(0, line * step); context.lineTo(width, line * step); }
        context.stroke();
      }
      legend.replaceChildren(high > 0 ? ramp_legend(count(low), count(high)) : "no verified pair", el("span", { text: "verified matches, logarithmic" }));
    });
    const cell_at = (event) => {
      const frame = canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - frame.left) / frame.width) * side_x), y = Math.floor(((event.clientY - frame.top) / frame.height) * side_y);
      return x >= 0 && y >= 0 && x < side_x && y < side_y ? y * side_x + x : -1;
    };
    canvas.addEventListener("pointermove", (event) => describe(cell_at(event)));
    canvas.addEventListener("pointerleave", () => describe(-1));
    canvas.addEventListener("click", (event) => {
      const cell = cell_at(event);
      if (cell < 0) return;
      if (block === 1) { if (first[cell] >= 0) open_pair(first[cell]); return; }
      const reach = Math.max(40, Math.ceil((view.right - view.left) / 16));
      const around = (value) => { const start = Math.max(0, Math.min(total - 2 * reach, value - reach)); return [start, Math.min(total, start + 2 * reach)]; };
      zoom(...around(view.left + (cell % side_x) * block), ...around(view.top + Math.floor(cell / side_x) * block));
    });
    canvas.style.aspectRatio = "1";
    canvas.style.cursor = "pointer";
    box.append(el("h3", { text: "Verified matches of every pair" }), canvas, legend, about, whole);
    zoom(0, total, 0, total);
    return box;
  }

  /* The graph, laid out by forces; components side by side. */
  function graph(images, pairs, summary) {
    const { nodes, links, grouped } = summary.graph;
    const width = 640, height = 560;
    const bodies = nodes.map((node, index) => ({ ...node, index }));
    const edges = links.map((link) => ({ source: link.a, target: link.b, ...link }));
    const strongest = Math.max(1, ...links.map((link) => link.inliers));
    const simulation = vendor.forceSimulation(bodies)
      .force("link", vendor.forceLink(edges).distance((edge) => 26 + 60 * (1 - Math.log1p(edge.inliers) / Math.log1p(strongest))).strength(0.35))
      .force("charge", vendor.forceManyBody().strength(bodies.length > 120 ? -28 : -90).distanceMax(260))
      .force("x", vendor.forceX(0).strength(0.05)).force("y", vendor.forceY(0).strength(0.06))
      .force("apart", vendor.forceCollide(8)).stop();
    simulation.tick(Math.min(300, Math.ceil(40000 / Math.max(bodies.length, 60))));
    const [low_x, high_x] = vendor.extent(bodies, (body) => body.x), [low_y, high_y] = vendor.extent(bodies, (body) => body.y);
    const scale = Math.min((width - 90) / Math.max(high_x - low_x, 1), (height - 60) / Math.max(high_y - low_y, 1), 6);
    const at_x = (body) => width / 2 + (body.x - (low_x + high_x) / 2) * scale, at_y = (body) => height / 2 + (body.y - (low_y + high_y) / 2) * scale;
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Graph of photographs that verified pairs join" });
    for (const edge of edges) {
      const strength = Math.log1p(edge.inliers) / Math.log1p(strongest);
      const special = edge.bridge || edge.weak;
      drawing.append(svg("line", {
        x1: at_x(edge.source), y1: at_y(edge.source), x2: at_x(edge.target), y2: at_y(edge.target),
        stroke: special ? "var(--rejected)" : "var(--dot)", "stroke-opacity": special ? 1 : 0.15 + 0.5 * strength,
        "stroke-width": special ? 2.5 : 0.6 + 2 * strength, "stroke-dasharray": special ? "7 4" : "none" }));
    }
    const largest = Math.max(...bodies.map((body) => body.images), 1);
    for (const body of bodies) {
      const share = body.registered, radius = grouped ? 4 + 8 * Math.sqrt(body.images / largest) : bodies.length > 100 ? 5 : 7;
      const label = grouped && body.images > 1 ? `${images.name[body.image]} and ${count(body.images - 1)} more` : images.name[body.image];
      const open = () => xfeat.open_photograph(body.image);
      drawing.append(svg("circle", {
        cx: at_x(body), cy: at_y(body), r: radius, class: "pick", tabindex: bodies.length > 60 ? -1 : 0, role: "button", "aria-label": label,
        fill: share > 0 ? "var(--verified)" : "var(--card)", stroke: share > 0 ? "var(--card)" : "var(--rejected)", "stroke-width": share > 0 ? 1 : 2.5,
        onclick: open, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } } },
      svg("title", { text: label })));
      if (bodies.length <= 30) drawing.append(svg("text", { x: at_x(body), y: at_y(body) - 11, "text-anchor": "middle", "pointer-events": "none", text: label.length > 16 ? `…${label.slice(-15)}` : label }));
    }
    const parts = summary.components.length;
    const words = parts === 0 ? "No two photographs are linked." : parts === 1
      ? `One component of ${count(summary.components[0])}` : `${count(parts)} components: ${summary.components.slice(0, 6).map(count).join(", ")}${parts > 6 ? " …" : ""}`;
    return el("div", { class: "box" }, el("h3", { text: "What holds together" }), drawing,
      el("div", { class: "legend" },
        el("span", { class: "verified" }, el("i", { class: "dot full" }), "in the model"),
        el("span", { class: "rejected" }, el("i", { class: "dot" }), "not in it"),
        el("span", { class: "rejected" }, el("i", { class: "dash" }), "bridge or weak link")),
      el("p", { class: "note", text: `${words}${summary.single_images ? `; ${count(summary.single_images)} photographs without a link` : ""}. ${grouped ? "A dot is a group of photographs that match one another well. " : ""}Each is drawn with its strongest links.` }));
  }

  function weak_links(images, pairs, summary) {
    const rows_at = pairs.row ? new Map(pairs.row.map((row, at) => [row, at])) : null;
    const at_of = (row) => (rows_at ? rows_at.get(row) : row);
    const seen = new Set(), rows = [];
    const add = (row, what) => {
      const at = at_of(row);
      if (at === undefined || seen.has(row) || rows.length >= LISTED) return;
      seen.add(row);
      rows.push([el("button", { text: `${images.name[pairs.image0[at]]} – ${images.name[pairs.image1[at]]}`, onclick: () => open_pair(at) }), count(pairs.inliers[at]), count(pairs.matches[at]), what]);
    };
    for (const link of summary.pairs.weak_links) add(link.pair, `joins ${count(link.sizes[0])} and ${count(link.sizes[1])} weakly`);
    for (const row of summary.pairs.bridges) add(row, "bridge: the only link");
    if (!rows.length) return null;
    return el("div", { class: "box" }, el("h3", { text: "Bridges and weak links" }), table(["<pair", "verified", "of", "<"], rows));
  }

  function all_pairs(images, pairs) {
    const search = el("input", { type: "search", placeholder: "name", "aria-label": "Pairs of photographs by name" });
    const sort = el("select", { "aria-label": "Order" }, ...["most verified", "fewest verified", "smallest share verified"].map((name) => el("option", { text: name })));
    let listed = STEP;
    const holder = el("div", {}), more = el("button", { class: "more", text: "Show more", onclick: () => { listed += 4 * STEP; list(); } }), total = el("span", { class: "count", role: "status" });
    const by = {
      "most verified": (a, b) => pairs.inliers[b] - pairs.inliers[a],
      "fewest verified": (a, b) => pairs.inliers[a] - pairs.inliers[b],
      "smallest share verified": (a, b) => pairs.inliers[a] / Math.max(pairs.matches[a], 1) - pairs.inliers[b] / Math.max(pairs.matches[b], 1),
    };
    const lower = images.name.map((name) => name.toLowerCase());
    function list() {
      const wanted = search.value.trim().toLowerCase(), chosen = [];
      for (let at = 0; at < pairs.image0.length; at++)
        if (!wanted || lower[pairs.image0[at]].includes(wanted) || lower[pairs.image1[at]].includes(wanted)) chosen.push(at);
      chosen.sort(by[sort.value]);
      total.textContent = `${count(Math.min(listed, chosen.length))} of ${count(chosen.length + pairs.left_out)} pairs`;
      more.hidden = listed >= chosen.length;
      holder.replaceChildren(table(["<pair", "verified", "of", "share"], chosen.slice(0, listed).map((at) => [
        el("button", { text: `${images.name[pairs.image0[at]]} – ${images.name[pairs.image1[at]]}`, onclick: () => open_pair(at) }),
        count(pairs.inliers[at]), count(pairs.matches[at]), pairs.matches[at] ? Math.round((100 * pairs.inliers[at]) / pairs.matches[at]) + " %" : "–"])));
    }
    for (const control of [search, sort]) control.addEventListener("input", () => { listed = STEP; list(); });
    list();
    return el("div", { class: "box" }, el("h3", { text: "All pairs" }), el("div", { class: "bar" }, search, sort, total), holder, more);
  }

  part("pairs", async (panel) => {
    await xfeat.library();
    const [images, pairs, summary] = await Promise.all([load("images"), load("pairs"), load("summary")]);
    if (!pairs.image0.length) { panel.append(el("p", { class: "note", text: "No pair has matches." })); return; }
    panel.append(
      el("p", { class: "note", text: `Verified by ${summary.pairs.verified_by}; a pair with ${summary.pairs.least_inliers} verified matches or more is a link.` }),
      el("div", { class: "two" }, matrix(images, pairs), graph(images, pairs, summary)));
    const lists = el("div", { class: "two" }, ...[weak_links(images, pairs, summary), all_pairs(images, pairs)].filter(Boolean));
    lists.style.marginTop = "1.2rem";
    panel.append(lists);
  });

  Object.assign(xfeat, { open_pair });
})();
