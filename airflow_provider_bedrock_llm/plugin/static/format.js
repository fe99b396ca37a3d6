// Numbers and times for people. What is not known is a dash.

const count = new Intl.NumberFormat("en");
const DASH = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);

export const number = (value) => (known(value) ? count.format(value) : DASH);

export const rate = (value) => (known(value) ? `${value.toFixed(1)}/s` : DASH);

/** US dollars, with as many digits as small sums need. */
export function usd(value) {
  if (!known(value)) {
    return DASH;
  }
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 4 : 2;
  return `$${value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** A price per million tokens. */
export const price = (value) => (known(value) ? `$${Number(value.toPrecision(6))}` : DASH);

/** Seconds as "2 h 05 min". */
export function duration(seconds) {
  if (!known(seconds)) {
    return DASH;
  }
  const whole = Math.round(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  }
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** A point in time in the reader's own zone. */
export function time(iso) {
  const at = new Date(iso ?? NaN);
  return Number.isNaN(at.getTime()) ? DASH : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** How long ago. */
export const secondsSince = (iso) => (Date.now() - new Date(iso ?? NaN).getTime()) / 1000;
