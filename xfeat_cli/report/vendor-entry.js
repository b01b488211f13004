/* What vendor.js is made of: see docs/report.md. */
export { WebGLRenderer, Scene, PerspectiveCamera, Points, LineSegments, BufferGeometry, BufferAttribute, PointsMaterial, LineBasicMaterial, Color, ColorManagement, Vector3 } from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
export { forceSimulation, forceLink, forceManyBody, forceX, forceY, forceCollide } from "d3-force";
export { scaleLinear, scaleBand } from "d3-scale";
export { axisBottom, axisLeft } from "d3-axis";
export { extent } from "d3-array";
export { select } from "d3-selection";
