// Shows how the node is, live: asks its interface again whenever it tells of something new.

const LIST = 10;
const ASK_AGAIN_MS = 5000;
const GATHER_MS = 250;

const at = (id) => document.getElementById(id);
const put = (id, text) => { at(id).textContent = text; };
const grouped = (value) => BigInt(value).toLocaleString("en");

/** An amount of base units in coins, exactly. */
function coins(units, decimals) {
  const digits = String(units).padStart(decimals + 1, "0");
  const cut = digits.length - decimals;
  const rest = digits.slice(cut).replace(/0+$/, "");
  return grouped(digits.slice(0, cut)) + (rest ? "." + rest : "");
}

/** How much of the way is done: 100 only where all is. */
const percent = ({ height, target }) => Math.floor(100 * Math.min(height, target) / Math.max(target, 1));

function ago(then, now) {
  const seconds = Math.max(0, Math.round((now - then) / 1000));
  if (seconds < 100) return `${seconds} s ago`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

/** A hash or an address: its beginning, and all of it where somebody points at it. */
function short(text) {
  const shown = document.createElement("span");
  shown.className = "mono";
  shown.textContent = text.length > 22 ? `${text.slice(0, 14)}…${text.slice(-6)}` : text;
  shown.title = text;
  return shown;
}

function rate(hashes) {
  const units = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s"];
  let unit = 0;
  while (hashes >= 1000 && unit < units.length - 1) { hashes /= 1000; unit += 1; }
  return `${hashes.toFixed(hashes < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

/** Fills a table: each row a list of cells, a cell [content, is it a number]. */
function fill(id, rows, empty) {
  const body = at(id).tBodies[0];
  const made = rows.map((cells) => {
    const row = document.createElement("tr");
    for (const [content, isNumber] of cells) {
      const cell = row.insertCell();
      cell.append(content);
      if (isNumber) cell.className = "number";
    }
    return row;
  });
  if (!made.length) {
    const row = document.createElement("tr");
    const cell = row.insertCell();
    cell.colSpan = at(id).tHead.rows[0].cells.length;
    cell.className = "empty";
    cell.textContent = empty;
    made.push(row);
  }
  body.replaceChildren(...made);
}

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function live(isLive) {
  at("live").className = isLive ? "pill good" : "pill bad";
  put("live", isLive ? "live" : "no answer");
}

async function show() {
  const [status, blocks, peers, mempool] = await Promise.all([
    ask("/v1/status"), ask(`/v1/blocks?limit=${LIST}`), ask("/v1/peers"), ask(`/v1/mempool?limit=${LIST}`),
  ]);
  const now = Date.now();
  const coin = (units) => coins(units, status.decimals);
  document.title = `${status.network} · block ${status.height}`;
  put("network", status.network);
  put("mode", status.devnet ? `${status.consensus}, a development network` : status.consensus);
  put("node", `${status.name}, ${status.role}`);
  put("height", grouped(status.height));
  put("age", ago(status.tip_time_ms, now));
  put("sync", status.sync.state);
  put("target", status.sync.state === "synced" ? "has all it knows of" : `${percent(status.sync)} % of block ${grouped(status.sync.target)}`);
  put("peer-count", grouped(status.peers));
  put("roles", peers.length ? `${peers.filter((peer) => peer.direction === "outbound").length} dialled by this node` : "nobody yet");
  put("waiting", grouped(status.mempool.transactions));
  put("waiting-bytes", `${grouped(status.mempool.bytes)} bytes`);
  put("supply", coin(status.supply));
  put("accounts", `${status.symbol}, ${grouped(status.accounts)} ${status.accounts === 1 ? "account" : "accounts"}`);
  put("mining", status.mining.producer ? status.mining.mode : "no");
  put("rate", status.mining.producer ? `${rate(status.mining.hash_rate)}, ${status.mining.kernel}` : "this node makes no blocks");
  put("identity", status.identity);
  put("version", `cairn ${status.version}`);
  fill("blocks", blocks.map((block) => [
    [grouped(block.height), true], [short(block.id)], [ago(block.time_ms, now)],
    [grouped(block.transaction_count), true], [short(block.producer)],
  ]), "No blocks.");
  fill("peers", peers.map((peer) => [
    [peer.name || "–"], [peer.roles.join(", ")], [peer.address],
    [peer.direction === "outbound" ? "by us" : "by them"], [grouped(peer.height), true],
    [peer.ping_ms === null ? "" : `${peer.ping_ms} ms`, true], [ago(peer.since_ms, now)],
  ]), "No other node is connected. To keep a connection to one: cairn peers add HOST:PORT");
  fill("mempool", mempool.map((entry) => [
    [short(entry.id)], [short(entry.sender)], [coin(entry.amount), true], [entry.waits.message],
  ]), "Nothing waits: what comes now goes into the next block.");
}

let isAsking = false;
let isStale = false;

/** Asks once more, and once again after that if something happened meanwhile. */
async function refresh() {
  isStale = true;
  if (isAsking) return;
  isAsking = true;
  while (isStale) {
    isStale = false;
    try {
      await show();
      live(true);
    } catch {
      live(false);
    }
    await new Promise((done) => setTimeout(done, GATHER_MS));
  }
  isAsking = false;
}

function listen() {
  const events = new EventSource("/v1/events");
  for (const kind of ["block", "reorg", "transaction", "mempool", "peer", "sync", "finality", "reset"]) {
    events.addEventListener(kind, refresh);
  }
}

refresh();
listen();
setInterval(refresh, ASK_AGAIN_MS);
