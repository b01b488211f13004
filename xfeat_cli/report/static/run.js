"use strict";
/* What was run, with what, how long it took, and what went wrong. */
(() => {
  const { el, load, count, fixed, part } = xfeat;

  const list = (title, entries) => entries.length ? el("div", { class: "box" }, el("h3", { text: title }), el("table", { class: "facts-table" }, el("tbody", {},
    ...entries.map(([name, value]) => el("tr", {}, el("td", { text: name }), el("td", { class: "text", text: value })))))) : null;
  const word = (value) => value === null ? "–" : Array.isArray(value) ? value.map(word).join(", ") : typeof value === "number" && Number.isInteger(value) ? count(value) : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
  const words = (object) => Object.entries(object || {}).filter(([, value]) => value === null || Array.isArray(value) || typeof value !== "object").map(([name, value]) => [name.replaceAll("_", " "), word(value)]);
  const result = (value) => typeof value === "object" && value !== null ? words(value).map(([name, text]) => `${name} ${text}`).join(", ") : String(value ?? "");

  part("run", async (panel) => {
    const { run, problems, made_by, made_at, folder, figures } = await load("summary");
    const stages = run.stages.map((stage) => [stage.name, [stage.reused ? "reused" : stage.seconds === null || stage.seconds === undefined ? "" : fixed(stage.seconds, 1, " s"), result(stage.result)].filter(Boolean).join(" · ")]);
    panel.append(el("div", { class: "columns" },
      list("Stages", stages),
      ...Object.entries(run.options).map(([stage, options]) => list(`Options: ${stage}`, words(typeof options === "object" && options !== null ? options : { [stage]: options }))),
      list("Features", words(run.features)),
      list("Versions", words(run.versions)),
      list("Files", [["folder", folder], ["photographs", run.images || "not known"], ...words(run.files)]),
      list("This report", [["made by", made_by], ["made at", made_at], ["for scripts", "report.json"]]),
      list("Every figure", Object.entries(figures).map(([name, value]) => [name, value === null ? "–" : Number.isInteger(value) ? count(value) : Number(value.toPrecision(5)).toString()]))));
    if (problems.length) panel.append(el("h2", { text: `Problems: ${count(problems.length)}` }), el("ul", {}, ...problems.slice(0, 200).map((problem) => el("li", { text: problem }))));
  });
})();
