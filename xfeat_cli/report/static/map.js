"use strict";
/* Where the photographs were taken, by GPS and by the model, seen from above. */
(() => {
  const { el, svg, load, count, fixed, part, table } = xfeat;
  const SIDE = 760, LARGEST = 3000;

  part("map", async (panel) => {
    await xfeat.library();
    const [summary, images] = await Promise.all([load("summary"), load("images")]);
    const { image, gps_m, model_m, deviation_median_m, deviation_max_m } = summary.gps;
    const step = Math.ceil(image.length / LARGEST), rows = image.map((_, at) => at).filter((at) => at % step === 0);
    const known = [...rows.map((at) => gps_m[at]), ...rows.map((at) => model_m[at]).filter(Boolean)];
    const [low_x, high_x] = vendor.extent(known, (place) => place[0]), [low_y, high_y] = vendor.extent(known, (place) => place[1]);
    const reach = Math.max(high_x - low_x, high_y - low_y, 1), scale = (SIDE - 90) / reach;
    const height = Math.max(260, Math.min(SIDE, (high_y - low_y) * scale + 110));
    const x = (place) => SIDE / 2 + (place[0] - (low_x + high_x) / 2) * scale, y = (place) => (height - 30) / 2 - (place[1] - (low_y + high_y) / 2) * scale;
    const drawing = svg("svg", { viewBox: `0 0 ${SIDE} ${height}`, role: "img", "aria-label": "Plan of the positions; the table says the same" });
    for (const at of rows) if (model_m[at]) drawing.append(svg("line", { x1: x(gps_m[at]), y1: y(gps_m[at]), x2: x(model_m[at]), y2: y(model_m[at]), stroke: "var(--dot)", "stroke-dasharray": "3 3" }));
    for (const at of rows) {
      const name = images.name[image[at]], open = () => xfeat.open_photograph(image[at]);
      drawing.append(svg("circle", { class: "mark hollow pick", cx: x(gps_m[at]), cy: y(gps_m[at]), r: 6, onclick: open }, svg("title", { text: `${name}, GPS` })));
      if (model_m[at]) drawing.append(svg("circle", { class: "mark pick", cx: x(model_m[at]), cy: y(model_m[at]), r: 4, onclick: open }, svg("title", { text: `${name}, model` })));
    }
    const unit = 10 ** Math.floor(Math.log10(reach / 3)), length = [5, 2, 1].find((times) => times * unit <= reach / 3) * unit;
    drawing.append(
      svg("path", { d: `M20 ${height - 16} v6 h${length * scale} v-6`, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 }),
      svg("text", { x: 24, y: height - 18, text: `${length} m` }),
      svg("path", { d: `M${SIDE - 26} 40 v-26 m-6 9 l6 -9 l6 9`, fill: "none", stroke: "var(--ink)", "stroke-width": 1.8 }),
      svg("text", { x: SIDE - 26, y: 56, "text-anchor": "middle", text: "N" }));
    const order = rows.filter((at) => model_m[at]).sort((a, b) => images.gps_deviation_m[image[b]] - images.gps_deviation_m[image[a]]);
    const worst = order.slice(0, 20).map((at) => [el("button", { text: images.name[image[at]], onclick: () => xfeat.open_photograph(image[at]) }),
      fixed(images.gps_deviation_m[image[at]], 2), ...[0, 1, 2].map((axis) => fixed(model_m[at][axis] - gps_m[at][axis], 2))]);
    panel.append(
      el("p", { class: "note", text: deviation_median_m === null
        ? `${count(image.length)} photographs have GPS, too few of them in the model to align it (three are needed).`
        : `${count(image.length)} photographs have GPS. The model, aligned to it, is ${fixed(deviation_median_m, 2, " m")} away (median; at most ${fixed(deviation_max_m, 2, " m")}).` }),
      el("div", { class: "two" },
        el("div", { class: "box" }, el("h3", { text: "Plan" }), drawing, el("div", { class: "legend" },
          el("span", { class: "rejected" }, el("i", { class: "dot" }), "GPS"), el("span", { class: "verified" }, el("i", { class: "dot full" }), "model"))),
        worst.length ? el("div", { class: "box" }, el("h3", { text: "Farthest from GPS" }), table(["<photograph", "m", "east", "north", "up"], worst)) : null));
  });
})();
