// Plotly.js of what our charts need: lines, bars and heat maps, marks and hover labels.

"use strict";

require("plotly.js/build/plotcss");
const { register } = require("plotly.js/src/registry");
const api = require("plotly.js/src/plot_api/plot_api");

// Plotly calls these by name when a chart is dragged over or clicked.
const BY_NAME = [
  "_doPlot", "newPlot", "react", "redraw", "purge", "relayout", "restyle", "update",
  "_guiRelayout", "_guiRestyle", "_guiUpdate", "_storeDirectGUIEdit",
];
for (const name of BY_NAME) register({ moduleType: "apiMethod", name, fn: api[name] });

register([
  require("plotly.js/src/traces/scatter"),
  require("plotly.js/src/traces/bar"),
  require("plotly.js/src/traces/heatmap"),
  require("plotly.js/src/components/annotations"),
  require("plotly.js/src/components/shapes"),
  require("plotly.js/src/components/colorscale"),
  require("plotly.js/src/components/legend"), // draws the labels of a hover over all lines
  require("plotly.js/src/components/fx"),
  require("plotly.js/src/components/modebar"), // is looked for, though no chart has one
  require("plotly.js/src/locale-en"),
  require("plotly.js/src/locale-en-us"),
]);

exports.react = api.react;
