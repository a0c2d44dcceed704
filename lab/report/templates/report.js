"use strict";
// Point at a mark of a scatter and read which look-up it is. The marks are in the drawing, in the order of their data.
const tip = document.getElementById("tip");
const latency = (s) => s >= 1 ? `${s.toPrecision(3)} s` : s >= 1e-3 ? `${(s * 1e3).toPrecision(3)} ms` : `${(s * 1e6).toPrecision(3)} µs`;
const time = (s) => Math.abs(s) < 600 ? `${s.toFixed(3)} s` : Math.abs(s) < 172800 ? `${(s / 3600).toFixed(3)} h` : `${(s / 86400).toFixed(3)} d`;

function watch(svg, points) {
  const marks = [...svg.querySelectorAll('g[id^="points-"] use')].map((use) => [+use.getAttribute("x"), +use.getAttribute("y")]);
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("r", "5");
  ring.setAttribute("class", "hit");
  ring.style.display = "none";
  svg.append(ring);
  const leave = () => { tip.hidden = true; ring.style.display = "none"; };
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = -1, least = 144;
    marks.forEach(([x, y], place) => {
      const far = (x - at.x) ** 2 + (y - at.y) ** 2;
      if (far < least) { least = far; best = place; }
    });
    if (best < 0) return leave();
    const [when, took, question, status, server, count] = points[best];
    const name = document.createElement("b");
    name.textContent = question;
    const rest = document.createElement("div");
    rest.textContent = `${status}${server ? ` from ${server}` : ""}, ${latency(took)}, at ${time(when)}` + (count > 1 ? `; ${count} look-ups are here, this is the first` : "");
    tip.replaceChildren(name, rest);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - box.width - 8)}px`;
    tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18}px`;
    ring.setAttribute("cx", marks[best][0]);
    ring.setAttribute("cy", marks[best][1]);
    ring.style.display = "";
  });
}

document.querySelectorAll("script.points").forEach((data) => {
  const points = JSON.parse(data.textContent);
  data.parentElement.querySelectorAll("svg").forEach((svg) => watch(svg, points));
});
