// Two plots as inline SVG: lines over a number, bars over names. Colours come from the style sheet.
import { h, svg } from "./dom.js";

const WIDTH = 420;
const HEIGHT = 180;
const EDGE = { left: 60, right: 8, top: 12, bottom: 28 };
const STEPS = 4;

const across = WIDTH - EDGE.left - EDGE.right;
const down = HEIGHT - EDGE.top - EDGE.bottom;

/** The end of an axis: the next 1, 2, 2.5, 5 or 10 of some power of ten. */
function roundUp(value) {
  if (!(value > 0)) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 2.5, 5, 10].find((step) => step * power >= value * 0.9999);
}

function frame(title, kind, highest, words) {
  const lines = Array.from({ length: STEPS + 1 }, (_, step) => {
    const y = EDGE.top + down - (down * step) / STEPS;
    return [
      svg("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y, y2: y }),
      svg("text", { x: EDGE.left - 8, y: y + 4, "text-anchor": "end" }, words((highest * step) / STEPS)),
    ];
  });
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title, class: `plot ${kind}` }, lines);
}

/** One line: points are [x, y]; wordsX and wordsY write the numbers of the axes. */
export function linePlot(title, points, wordsX, wordsY) {
  const lastX = Math.max(...points.map(([x]) => x)) || 1;
  const highest = roundUp(Math.max(...points.map(([, y]) => y)));
  const drawn = frame(title, "lines", highest, wordsY);
  const at = ([x, y]) => `${(EDGE.left + (across * x) / lastX).toFixed(1)},${(EDGE.top + down - (down * y) / highest).toFixed(1)}`;
  drawn.append(svg("polyline", { points: points.map(at).join(" ") }));
  for (const part of [0, 0.5, 1]) {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const place = { x: EDGE.left + across * part, y: HEIGHT - 8, "text-anchor": anchor };
    drawn.append(svg("text", place, wordsX(lastX * part)));
  }
  return h("figure", {}, h("figcaption", {}, title), drawn);
}

/** Bars: each is [name, height]; the first, the middle and the last are named. */
export function barPlot(title, bars, words) {
  const highest = roundUp(Math.max(...bars.map(([, value]) => value)));
  const drawn = frame(title, "bars", highest, words);
  const each = across / bars.length;
  bars.forEach(([name, value], at) => {
    const height = (down * value) / highest;
    const place = { x: EDGE.left + each * at + each * 0.1, y: EDGE.top + down - height, width: each * 0.8, height };
    drawn.append(svg("rect", place, svg("title", {}, `${name}: ${words(value)}`)));
  });
  const named = new Set([0, Math.floor((bars.length - 1) / 2), bars.length - 1]);
  for (const at of named) {
    const isLast = at === bars.length - 1;
    const x = isLast ? WIDTH - EDGE.right : EDGE.left + each * (at + 0.5);
    const place = { x, y: HEIGHT - 8, "text-anchor": isLast ? "end" : "middle" };
    drawn.append(svg("text", place, bars[at][0]));
  }
  return h("figure", {}, h("figcaption", {}, title), drawn);
}
