"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const details = JSON.parse(document.getElementById("details").textContent);
const command = document.getElementById("command");
const selection = document.getElementById("selection");

function tell(numbers) {
  const points = [...new Set(numbers)].map((number) => details[number]);
  if (!points.length) return;
  command.textContent = points.map((point) => point.command).join("\n");
  selection.textContent = points
    .map((point) => {
      const parameters = Object.entries(point.parameters).map(([key, value]) => `${key} ${JSON.stringify(value)}`).join(", ");
      const numbers = `MaxSkew ${point.maxskew.toFixed(3)}, accuracy lost ${(100 * point.lost).toFixed(2)} points`;
      return `trial ${point.trial} at α = ${point.alpha}: ${parameters}; ${numbers}`;
    })
    .join("\n");
}

for (const [name, figure] of Object.entries(figures)) {
  const place = document.getElementById(name);
  const settings = { responsive: true, displaylogo: false, displayModeBar: name === "front" };
  const drawn = Plotly.newPlot(place, figure.data, figure.layout, settings);
  if (name !== "front") continue;
  const chosen = (event) => event && tell(event.points.map((point) => point.customdata).filter((n) => n !== undefined));
  drawn.then(() => {
    place.on("plotly_click", chosen);
    place.on("plotly_selected", chosen);
    document.body.dataset.drawn = "yes";
  });
}
