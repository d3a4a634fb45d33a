// The gap ledger on the page: the entries that touch the last day, the newest first.

const DAY_MS = 86400000, SHOWN = 6, MOST = 1000;

export async function loadGaps(get, now) {
  const start = new Date(now - DAY_MS).toISOString();
  const { gaps, next_page_token: more } = await get(`/v1/gaps?start=${start}&limit=${MOST}`);
  document.getElementById("gaps-card").hidden = !gaps.length;
  const count = `${gaps.length}${more ? " and more" : ""}`;
  document.getElementById("gaps-count").textContent = gaps.length > SHOWN ? `${count}, the newest` : count;
  document.getElementById("gaps")
    .replaceChildren(...gaps.slice(-SHOWN).reverse().map((gap) => line(gap, now)));
}

function line(gap, now) {
  const row = document.createElement("tr");
  const cells = [
    [gap.feed, ""], [gap.symbol ?? "all", gap.symbol ? "" : "dim"], [gap.cause, ""],
    [when(gap.start, now), "dim"], [gap.end ? lengthText(gap.duration_s) : "lasts", "num"],
    [gap.status, gap.status === "repaired" ? "up" : "open"],
  ];
  row.append(...cells.map(([text, kind]) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    cell.className = kind;
    return cell;
  }));
  if (gap.detail) row.title = gap.detail;
  return row;
}

function when(time, now) {
  const today = new Date(now).toISOString().slice(0, 10);
  return time.startsWith(today) ? time.slice(11, 19) : time.slice(0, 19).replace("T", " ");
}

function lengthText(s) {
  if (s < 1) return `${Math.max(Math.round(s * 1000), 1)} ms`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}
