// Shows the snippets in one language, with the address of this plant in place of the usual one.
const SNIPPETS = [
  ["push", "Store a trade"],
  ["candles", "Read bars"],
  ["stream", "Listen, from a time of the past on"],
  ["key", "Show a key"],
];
const USUAL = "127.0.0.1:8000";
const root = new URL("..", document.baseURI);
const place = root.host + root.pathname.replace(/\/$/, "");
const secure = root.protocol === "https:";
const shown = document.getElementById("snippets");

function here(text) {
  return text
    .replaceAll(`http://${USUAL}`, `${secure ? "https" : "http"}://${place}`)
    .replaceAll(`ws://${USUAL}`, `${secure ? "wss" : "ws"}://${place}`);
}

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

async function show(language) {
  const texts = await Promise.all(SNIPPETS.map(async ([name]) => {
    const answer = await fetch(`snippets/${name}.${language}`);
    return here(await answer.text());
  }));
  shown.replaceChildren();
  SNIPPETS.forEach(([, title], place) => {
    element("h2", title, shown);
    const box = element("div", "", shown);
    box.className = "snippet";
    element("pre", texts[place], box);
    const copy = element("button", "Copy", box);
    copy.type = "button";
    copy.onclick = async () => {
      await navigator.clipboard.writeText(texts[place]);
      copy.textContent = "Copied";
    };
  });
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.onclick = () => show(button.dataset.language);
}
await show("sh");
