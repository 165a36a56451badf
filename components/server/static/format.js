// Figures, times and states as people read them.

const MONEY = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const COUNT = new Intl.NumberFormat("en-US");
const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SHORT = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

export const money = (usd) => (usd > 0 && usd < 0.005 ? "<$0.01" : MONEY.format(usd || 0));
export const count = (number) => COUNT.format(number || 0);
export const compact = (number) => COMPACT.format(number || 0);
export const percent = (share) => `${Math.round(share * 100)}%`;

/** "1 file", "3 files". */
export const many = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** Seconds as "42 s", "3 min 07 s", "2 h 05 min", "3 d 4 h". */
export const duration = (seconds) => {
  if (!(seconds >= 0)) return "–";
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
};

export const since = (moment) => (moment ? (Date.now() - Date.parse(moment)) / 1000 : NaN);
export const exact = (moment) => (moment ? MOMENT.format(new Date(moment)) : "");

/** A time as "just now", "12 min ago", or the date. */
export const ago = (moment) => {
  const seconds = since(moment);
  if (Number.isNaN(seconds)) return "–";
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return SHORT.format(new Date(moment));
};

/** "backend_dev" as "backend dev". */
export const words = (name) => String(name || "").replaceAll("_", " ");

/** The last part of a path. */
export const last = (path) => String(path || "").split("/").filter(Boolean).pop() || "";

export const LIVE = ["pending", "preparing", "running", "waiting", "finishing"];

/** What each state looks like: the tone of its mark. */
const TONES = {
  running: "active", preparing: "active", finishing: "active", starting: "active", judging: "active", reporting: "active",
  hooks: "active", cleaning: "active", claiming: "active", active: "active", working: "active",
  awaiting: "warn", skipped: "quiet", pending: "waiting", waiting: "waiting", queued: "waiting", todo: "quiet", review: "waiting", cleaning_up: "waiting",
  succeeded: "good", completed: "good", ok: "good", passed: "good", idle: "quiet", stopped: "quiet",
  failed: "bad", error: "bad", interrupted: "warn", cancelled: "quiet", elsewhere: "quiet", "no runner": "warn",
};

export const tone = (state) => TONES[state] || "quiet";

/** A day as the server counts it (UTC), so many days before today. */
export const day = (before = 0) => new Date(Date.now() - before * 86400000).toISOString().slice(0, 10);
