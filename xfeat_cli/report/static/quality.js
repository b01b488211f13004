"use strict";
/* How good the parts are: errors, tracks, residuals over the image, coverage, cameras. */
(() => {
  const { el, svg, load, count, fixed, part, table, ramp, css, ramp_legend } = xfeat;
  const WIDTH = 560, HEIGHT = 240, LEFT = 54, BOTTOM = 40, TOP = 10, RIGHT = 12;

  function frame(label, x, y, x_title, y_title, x_ticks = 6) {
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
    const bottom = svg("g", { transform: `translate(0 ${HEIGHT - BOTTOM})` }), left = svg("g", { transform: `translate(${LEFT} 0)` });
    drawing.append(bottom, left,
      svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle", text: x_title }),
      svg("text", { x: 0, y: 0, transform: `translate(12 ${(HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle", text: y_title }));
    vendor.select(bottom).call(vendor.axisBottom(x).ticks(x_ticks).tickSizeOuter(0));
    vendor.select(left).call(vendor.axisLeft(y).ticks(4).tickSizeOuter(0));
    return drawing;
  }
  const across = (domain) => vendor.scaleLinear(domain, [LEFT, WIDTH - RIGHT]);
  const upward = (high) => vendor.scaleLinear([0, high || 1], [HEIGHT - BOTTOM, TOP]).nice();

  function bar(x0, x1, y, value, title, extra = {}) {
    return svg("rect", { class: "mark", x: x0 + 0.5, width: Math.max(x1 - x0 - 1, 0.5), y: y(value), height: Math.max(HEIGHT - BOTTOM - y(value), 0), ...extra }, svg("title", { text: title }));
  }

  function histogram({ edges, counts, beyond }) {
    const x = across([0, edges[edges.length - 1]]), y = upward(Math.max(...counts));
    const drawing = frame("How many observations have which reprojection error", x, y, "reprojection error of an observation, px", "observations");
    counts.forEach((value, at) => drawing.append(bar(x(edges[at]), x(edges[at + 1]), y, value, `${edges[at].toFixed(2)} to ${edges[at + 1].toFixed(2)} px: ${count(value)}`)));
    return el("div", { class: "box" }, el("h3", { text: "Reprojection errors" }), drawing, el("p", { class: "note", text: `The worst one per cent, ${count(beyond)} observations, lies beyond.` }));
  }

  function tracks(lengths) {
    const x = vendor.scaleBand(lengths.map((entry) => `${entry.length}${entry.and_above ? "+" : ""}`), [LEFT, WIDTH - RIGHT]).padding(0.15);
    const y = upward(1.12 * Math.max(...lengths.map((entry) => entry.points)));
    const drawing = frame("How many points are seen in how many photographs", x, y, "photographs that see a point", "points");
    for (const entry of lengths) {
      const left = x(`${entry.length}${entry.and_above ? "+" : ""}`);
      drawing.append(bar(left, left + x.bandwidth(), y, entry.points, `${count(entry.points)} points, error ${fixed(entry.error_px, 2, " px")}`));
      drawing.append(svg("text", { x: left + x.bandwidth() / 2, y: y(entry.points) - 4, "text-anchor": "middle", text: fixed(entry.error_px, 2) }));
    }
    return el("div", { class: "box" }, el("h3", { text: "Track lengths" }), drawing, el("p", { class: "note", text: "Above each bar: the mean error of these points, px. Longer tracks hold a model together better." }));
  }

  /* Mean and largest of several images to a bar when there are many. */
  function by_image(images) {
    const rows = images.name.map((_, row) => row).filter((row) => images.reprojection_px[row] !== null);
    if (!rows.length) return null;
    const block = Math.max(1, Math.ceil(rows.length / 240)), bars = [];
    for (let start = 0; start < rows.length; start += block) {
      const some = rows.slice(start, start + block), errors = some.map((row) => images.reprojection_px[row]);
      const worst = some[errors.indexOf(Math.max(...errors))];
      bars.push({ mean: errors.reduce((sum, error) => sum + error, 0) / errors.length, worst });
    }
    const x = across([0, rows.length]), y = upward(Math.max(...bars.map((one) => one.mean)));
    const drawing = frame("Mean reprojection error of each photograph", x, y, "photographs, by name", "error, px");
    bars.forEach((one, at) => {
      const name = images.name[one.worst], open = () => xfeat.open_photograph(one.worst);
      drawing.append(bar(x(at * block), x(Math.min((at + 1) * block, rows.length)), y, one.mean,
        block > 1 ? `mean ${one.mean.toFixed(2)} px; worst: ${name}` : `${name}: ${one.mean.toFixed(2)} px`,
        { class: "mark pick", role: "button", tabindex: bars.length <= 40 ? 0 : -1, "aria-label": name, onclick: open, onkeydown: (event) => { if (event.key === "Enter") open(); } }));
    });
    return el("div", { class: "box" }, el("h3", { text: "Error by photograph" }), drawing, el("p", { class: "note", text: `A click opens the photograph${block > 1 ? `; a bar is ${block} of them` : ""}.` }));
  }

  function field(fields, cameras) {
    const first = cameras[0] || { width: 4, height: 3 };
    const height = Math.round((WIDTH * first.height) / first.width);
    const choice = el("select", { "aria-label": "Camera" }, ...fields.map((entry, at) => el("option", { value: at, text: entry.camera === null ? "all cameras" : `camera ${entry.camera}` })));
    const holder = el("div", { class: "drawing" }), note = el("p", { class: "note" }), legend = el("div", { class: "legend" });
    function draw() {
      const { columns, rows, dx, dy, rms, pattern_px } = fields[Number(choice.value)];
      const known = rms.filter((value) => value !== null), low = Math.min(...known), high = Math.max(...known);
      const longest = Math.max(1e-9, ...dx.map((value, at) => (value === null ? 0 : Math.hypot(value, dy[at]))));
      const cell = [WIDTH / columns, height / rows], scale = (0.9 * Math.min(...cell)) / longest;
      const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "Mean residual by place in the image" });
      dx.forEach((value, at) => {
        const x = (at % columns) * cell[0], y = Math.floor(at / columns) * cell[1];
        drawing.append(svg("rect", { x, y, width: cell[0], height: cell[1], fill: value === null ? "var(--soft)" : css(ramp((rms[at] - low) / (high - low || 1))), "fill-opacity": value === null ? 1 : 0.55 }));
        if (value === null) return;
        const middle = [x + cell[0] / 2, y + cell[1] / 2], end = [middle[0] + value * scale, middle[1] + dy[at] * scale];
        drawing.append(svg("line", { x1: middle[0], y1: middle[1], x2: end[0], y2: end[1], stroke: "var(--ink)", "stroke-width": 1.6 }), svg("circle", { cx: middle[0], cy: middle[1], r: 1.8, fill: "var(--ink)" }));
      });
      holder.replaceChildren(drawing);
      legend.replaceChildren(known.length ? ramp_legend(fixed(low, 2), fixed(high, 2, " px")) : "", el("span", { text: "root mean square" }), el("span", { text: `longest line: ${longest.toFixed(2)} px` }));
      note.textContent = `Lines show the mean residual of a cell. Short and without order: the camera model fits. A pattern (here ${fixed(pattern_px, 2, " px")}): it does not.`;
    }
    choice.addEventListener("input", draw);
    draw();
    return el("div", { class: "box" }, el("h3", { text: "Residuals over the image" }), fields.length > 1 ? el("div", { class: "bar" }, choice) : null, holder, legend, note);
  }

  function cover(title, coverage, values, note) {
    const { columns, rows } = coverage, high = Math.max(...values, 1), cell = 34;
    const drawing = svg("svg", { viewBox: `0 0 ${columns * cell} ${rows * cell}`, role: "img", "aria-label": title });
    values.forEach((value, at) => drawing.append(svg("rect", { x: (at % columns) * cell, y: Math.floor(at / columns) * cell, width: cell, height: cell, fill: value ? css(ramp(value / high)) : "var(--soft)" }, svg("title", { text: count(value) }))));
    return el("div", { class: "box" }, el("h3", { text: title }), drawing, el("div", { class: "legend" }, ramp_legend("0", count(high))), el("p", { class: "note", text: note }));
  }

  function lenses(cameras) {
    const known = cameras.filter((camera) => camera.focal_px);
    const box = el("div", { class: "box" }, el("h3", { text: `Cameras: ${count(cameras.length)}` }));
    if (known.length > 1) {
      const focal = (camera) => camera.focal_px / camera.width;
      const [low, high] = vendor.extent(known, focal), margin = (high - low) * 0.1 || high * 0.01;
      const x = across([low - margin, high + margin]).nice(), most = Math.max(...known.map((camera) => camera.images));
      const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} 110`, class: "narrow", role: "img", "aria-label": "Focal lengths of the cameras" });
      const axis = svg("g", { transform: "translate(0 68)" });
      vendor.select(axis).call(vendor.axisBottom(x).ticks(6).tickSizeOuter(0));
      drawing.append(axis, svg("text", { x: WIDTH / 2, y: 105, "text-anchor": "middle", text: "focal length, in widths of the photograph" }));
      known.slice(0, 3000).forEach((camera, at) => drawing.append(svg("circle", { class: "mark", "fill-opacity": 0.65, cx: x(focal(camera)), cy: 34 + ((at * 37) % 41) - 20, r: 3 + 5 * Math.sqrt(camera.images / most) }, svg("title", { text: `camera ${camera.number}: ${camera.focal_px.toFixed(1)} px, ${count(camera.images)} photographs` }))));
      box.append(drawing);
    }
    const rows = cameras.slice(0, 50).map((camera) => [String(camera.number), camera.model, `${camera.width} × ${camera.height}`, count(camera.images), fixed(camera.focal_px, 1), fixed(camera.view_deg, 1, "°"),
      Object.entries(camera.parameters).filter(([name]) => !/^f/.test(name)).map(([name, value]) => `${name} ${Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(4)}`).join(", ")]);
    box.append(table(["<camera", "<model", "size", "photographs", "focal, px", "view", "<parameters"], rows));
    if (cameras.length > 50) box.append(el("p", { class: "note", text: `and ${count(cameras.length - 50)} more in report.json` }));
    return box;
  }

  part("quality", async (panel) => {
    await xfeat.library();
    const [summary, images] = await Promise.all([load("summary"), load("images")]);
    const boxes = [], { residuals, coverage, cameras } = summary;
    if (residuals.histogram.counts.length) boxes.push(histogram(residuals.histogram));
    if (residuals.by_track_length.length) boxes.push(tracks(residuals.by_track_length));
    boxes.push(by_image(images));
    if (residuals.fields.length && residuals.fields[0].dx.some((value) => value !== null)) boxes.push(field(residuals.fields, cameras));
    if (coverage.keypoints) boxes.push(cover("Where keypoints are", coverage, coverage.keypoints, "Over all photographs. Empty edges are often vignetting or masks; a bright middle alone makes distortion uncertain."));
    if (coverage.observations) boxes.push(cover("Where 3-D points were seen", coverage, coverage.observations, "Observations of the model over all photographs."));
    const shown = boxes.filter(Boolean);
    if (!shown.length) { panel.append(el("p", { class: "note", text: "There is nothing to measure yet." })); return; }
    panel.append(el("div", { class: "columns" }, ...shown));
    if (cameras.length) { const wide = lenses(cameras); panel.append(wide); }
  });
})();
