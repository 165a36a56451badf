// A connection that comes back: it goes on behind what was heard last, so that nothing is lost or told twice.

import { signals, socket } from "/static/api.js";

const FIRST_WAIT = 250;
const LONGEST_WAIT = 8000;
const ENDED = 1000;
const OWN_CODES = 4000;

/** Keep a WebSocket open. `path()` says where to go on from; `hear` gets each frame; `state` hears of ups and downs. */
export class Connection {
  constructor({ path, hear, state = () => {} }) {
    Object.assign(this, { path, hear, state, wait: FIRST_WAIT, isClosed: false });
    this.open();
  }

  open() {
    this.socket = socket(this.path());
    this.socket.onopen = () => this.state("open");
    this.socket.onmessage = (event) => {
      this.wait = FIRST_WAIT;
      if (!this.isClosed) this.hear(JSON.parse(event.data));
    };
    this.socket.onclose = (event) => this.closed(event);
  }

  closed(event) {
    if (this.isClosed) return;
    if (event.code === ENDED || event.code > OWN_CODES) {
      this.state("ended");
      return;
    }
    this.state("lost");
    this.timer = setTimeout(() => this.open(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    if (this.socket.readyState === WebSocket.CONNECTING) this.socket.onopen = () => this.socket.close();
    else this.socket.close();
  }
}

let connection = null;
let last = -1;

/** Follow the moves of executions and the changes of tasks; each is told as `news` to whoever listens to `signals`. */
export const followNews = () => {
  connection?.close();
  connection = new Connection({
    path: () => `/ws/events?after=${last}`,
    hear: (frame) => {
      if (frame.type === "start" && last < 0) last = frame.last_event;
      if (frame.type === "execution") last = Math.max(last, frame.id);
      signals.dispatchEvent(new CustomEvent("news", { detail: frame }));
    },
    state: (state) => signals.dispatchEvent(new CustomEvent("connection", { detail: state })),
  });
};

export const stopNews = () => connection?.close();
