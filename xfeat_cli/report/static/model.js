"use strict";
/* Points and cameras in 3-D. A click, or the arrow keys, choose a camera and show its photograph. */
(() => {
  const { el, load, count, part, unpack, colour } = xfeat;

  function point_cloud(data) {
    const geometry = new vendor.BufferGeometry();
    geometry.setAttribute("position", new vendor.BufferAttribute(unpack(data.points, Float32Array), 3));
    geometry.setAttribute("color", new vendor.BufferAttribute(unpack(data.colours, Uint8Array), 3, true));
    return new vendor.Points(geometry, new vendor.PointsMaterial({ vertexColors: true, sizeAttenuation: false, size: 2 }));
  }

  /* Corners of the frustums (N, 5, 3): the centre, then the image's corners at `length`. */
  function frustums(data, length) {
    const centres = unpack(data.centres, Float32Array), turns = unpack(data.rotations, Float32Array);
    const corners = new Float32Array(data.images.length * 15);
    data.cones.forEach(([half_x, half_y], image) => {
      const turn = turns.subarray(9 * image, 9 * image + 9);
      [[0, 0, 0], [-half_x, -half_y, 1], [half_x, -half_y, 1], [half_x, half_y, 1], [-half_x, half_y, 1]].forEach((local, corner) => {
        for (let axis = 0; axis < 3; axis++)
          corners[15 * image + 3 * corner + axis] = centres[3 * image + axis] + length * (turn[axis] * local[0] + turn[3 + axis] * local[1] + turn[6 + axis] * local[2]);
      });
    });
    return corners;
  }

  const EDGES = [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]];
  function wires(corners, images) {
    const positions = new Float32Array(images.length * EDGES.length * 6);
    images.forEach((image, at) => EDGES.forEach((ends, edge) => ends.forEach((corner, end) => {
      positions.set(corners.subarray(15 * image + 3 * corner, 15 * image + 3 * corner + 3), at * EDGES.length * 6 + edge * 6 + end * 3);
    })));
    const geometry = new vendor.BufferGeometry();
    geometry.setAttribute("position", new vendor.BufferAttribute(positions, 3));
    return geometry;
  }

  part("model", async (panel) => {
    await xfeat.library();
    vendor.ColorManagement.enabled = false; // the colours are those of the photographs
    const [summary, images] = await Promise.all([load("summary"), load("images")]);
    if (!summary.models.length) { panel.append(el("p", { class: "note", text: "There is no model to show." })); return; }
    const canvas = el("canvas", { tabIndex: 0, role: "img", "aria-label": "Points and cameras in 3-D; the arrow keys choose a camera, plus and minus come nearer and go away" });
    const chosen_box = el("div", { class: "chosen", hidden: true, role: "status" });
    const stage = el("div", { class: "stage" }, canvas, chosen_box, el("div", { class: "hint", text: "drag: turn · right button or two fingers: move · wheel: nearer · click a camera" }));
    const about = el("span", { class: "count" });
    const still = () => el("img", { class: "still light only-print", src: "model.png", alt: "The model from above, from the front and from the side" });

    let renderer;
    try {
      renderer = new vendor.WebGLRenderer({ canvas, antialias: true });
      renderer.outputColorSpace = "srgb-linear";
    } catch {
      panel.append(el("p", { class: "note", text: "This browser has no WebGL, so the model is shown from three sides instead." }), el("img", { class: "still", src: "model.png", alt: "The model from above, from the front and from the side" }));
      return;
    }
    const scene = new vendor.Scene(), camera = new vendor.PerspectiveCamera(50, 1, 0.002, 200);
    const controls = new vendor.OrbitControls(camera, canvas);
    Object.assign(controls, { enableDamping: true, dampingFactor: 0.12, zoomToCursor: true });
    camera.up.set(0, -1, 0);

    const models = el("select", { "aria-label": "Model" }, ...summary.models.map((model) => el("option", { value: model.number, text: `model ${model.number} (${count(model.registered)} photographs)` })));
    const point_size = el("input", { type: "range", min: 0.5, max: 8, step: 0.25, value: 2 });
    const camera_size = el("input", { type: "range", min: 0, max: 2, step: 0.05, value: 1 });
    const by_name = el("select", { "aria-label": "Photograph" });
    const views = { front: [0, -0.35, -1], above: [0, -1, -0.001], side: [1, -0.35, 0] };
    const buttons = Object.entries(views).map(([name, from]) => el("button", { text: name, onclick: () => look_from(from) }));
    panel.append(
      el("div", { class: "bar" }, summary.models.length > 1 ? models : null, ...buttons, el("label", {}, "points", point_size), el("label", {}, "cameras", camera_size), el("label", {}, "photograph", by_name), about),
      stage, still());

    let data, corners, cloud, cones, highlight, chosen = -1, base_length = 0.05, wanted = true;
    const draw = () => { wanted = true; };
    const cone_material = new vendor.LineBasicMaterial(), chosen_material = new vendor.LineBasicMaterial();
    const themed = () => {
      scene.background = new vendor.Color(colour("card"));
      cone_material.color.set(colour("rejected"));
      chosen_material.color.set(colour("verified"));
      draw();
    };
    document.addEventListener("theme", themed);

    function look_from(from) {
      controls.target.set(0, 0, 0);
      camera.position.set(...from).normalize().multiplyScalar(2.1 * Math.max(1, 1.25 / camera.aspect));
      controls.update();
      draw();
    }
    function remove(object) { if (object) { scene.remove(object); object.geometry.dispose(); } }
    function place_cameras() {
      remove(cones);
      remove(highlight);
      const size = Number(camera_size.value);
      corners = frustums(data, base_length * Math.max(size, 0.01));
      cones = new vendor.LineSegments(wires(corners, data.images.map((_, image) => image)), cone_material);
      cones.visible = size > 0;
      highlight = new vendor.LineSegments(wires(corners, chosen < 0 ? [] : [chosen]), chosen_material);
      highlight.visible = size > 0;
      scene.add(cones, highlight);
      draw();
    }
    async function open_model() {
      data = await load(`model-${models.value || 0}`);
      remove(cloud);
      cloud = point_cloud(data);
      scene.add(cloud);
      base_length = 0.11 * Math.min(1, (20 / Math.max(data.images.length, 1)) ** 0.35);
      chosen = -1;
      chosen_box.hidden = true;
      by_name.replaceChildren(el("option", { value: -1, text: "none" }), ...(data.images.length <= 3000 ? data.images.map((row, image) => el("option", { value: image, text: images.name[row] })) : []));
      by_name.closest("label").hidden = data.images.length > 3000;
      const drawn_points = cloud.geometry.getAttribute("position").count;
      about.textContent = `${count(drawn_points)}${drawn_points < data.all_points ? ` of ${count(data.all_points)}` : ""} points, ${count(data.images.length)} cameras`;
      place_cameras();
      look_from(views.front);
    }
    function choose(image) {
      chosen = image;
      by_name.value = image;
      place_cameras();
      chosen_box.hidden = image < 0;
      if (image < 0) return;
      const row = data.images[image];
      chosen_box.replaceChildren(xfeat.picture(images, row, "thumbnail"), el("b", { text: images.name[row] }),
        el("p", { text: `${count(images.observations[row])} observations` }),
        el("button", { text: "Open", onclick: () => xfeat.open_photograph(row) }), " ",
        el("button", { text: "Look through it", onclick: () => look_through(image) }));
      canvas.dataset.chosen = images.name[row];
    }
    function look_through(image) {
      const centre = corners.subarray(15 * image, 15 * image + 3);
      const turn = unpack(data.rotations, Float32Array).subarray(9 * image, 9 * image + 9);
      camera.position.set(...centre);
      controls.target.set(...[0, 1, 2].map((axis) => centre[axis] + 0.6 * turn[6 + axis]));
      controls.update();
      draw();
    }
    /* The camera whose picture, as drawn, is nearest to a place on the canvas. */
    function camera_at(x, y) {
      let best = -1, nearest = 18;
      const point = new vendor.Vector3(), { clientWidth: width, clientHeight: height } = canvas;
      for (let image = 0; image < data.images.length; image++) for (let corner = 0; corner < 5; corner++) {
        point.fromArray(corners, 15 * image + 3 * corner).project(camera);
        if (point.z > 1) continue;
        const away = Math.hypot(((point.x + 1) / 2) * width - x, ((1 - point.y) / 2) * height - y);
        if (away < nearest) { nearest = away; best = image; }
      }
      return best;
    }
    let pressed = null;
    canvas.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; });
    canvas.addEventListener("pointerup", (event) => {
      if (!pressed || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 5) return;
      const frame = canvas.getBoundingClientRect();
      choose(camera_at(event.clientX - frame.left, event.clientY - frame.top));
    });
    canvas.addEventListener("keydown", (event) => {
      const total = data.images.length, steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (event.key in steps && total) choose((Math.max(chosen, chosen < 0 && steps[event.key] < 0 ? 0 : chosen) + steps[event.key] + total) % total);
      else if (event.key === "Enter" && chosen >= 0) xfeat.open_photograph(data.images[chosen]);
      else if (event.key === "+" || event.key === "-") { camera.position.lerp(controls.target, event.key === "+" ? 0.15 : -0.18); controls.update(); draw(); }
      else return;
      event.preventDefault();
    });
    models.addEventListener("input", open_model);
    by_name.addEventListener("input", () => choose(Number(by_name.value)));
    point_size.addEventListener("input", () => { draw(); });
    camera_size.addEventListener("input", place_cameras);
    controls.addEventListener("change", draw);

    function resize() {
      const { clientWidth: width, clientHeight: height } = stage;
      if (!width || !height) return;
      renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
      renderer.setSize(width, height, false);
      camera.aspect = width / height;
      camera.updateProjectionMatrix();
      draw();
    }
    new ResizeObserver(resize).observe(stage);
    canvas.addEventListener("webglcontextrestored", draw);

    await open_model();
    themed();
    resize();
    (function frame() {
      requestAnimationFrame(frame);
      if (panel.hidden) return;
      controls.update();
      if (!wanted) return;
      wanted = false;
      cloud.material.size = Number(point_size.value);
      renderer.render(scene, camera);
    })();
  });
})();
