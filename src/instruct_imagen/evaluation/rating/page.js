// The rating page. All that it knows is one answer of the server; `server.ask` gives the next.
// The image is never replaced before the server has said that the click is on its disk.
// The text of the page (`scales`, `guideline`) is declared before this file.
const root = element.querySelector(".rating");
const one = (selector) => root.querySelector(selector);
const NAME = "instruct-imagen rater";
let answer = null; // what is shown
let given = {}; // sc and pq as they are chosen
let busy = false; // an answer is awaited, or its image is not yet shown: keys are not heard
let more = false; // the rater goes on after their share
let rater = "";

const node = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const newClick = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(16)).join("-");
const pause = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));
const note = (text) => { one(".note").textContent = text; };

// The same question until there is an answer: a click has a name, so that it is stored once.
async function ask(question) {
  for (let trial = 1; ; trial += 1) {
    try {
      const found = await Promise.race([
        server.ask({ rater, more, ...question }),
        pause(10000).then(() => { throw new Error("no answer"); }),
      ]);
      if (found && typeof found === "object" && ("error" in found || "rater" in found)) {
        note("");
        return found;
      }
      throw new Error("no answer");
    } catch (error) {
      note("Not saved yet: the server does not answer. Trying again…");
      await pause(Math.min(500 * trial, 3000));
    }
  }
}

async function go(question) {
  busy = true;
  root.dataset.busy = "yes";
  const found = await ask(question);
  if ("error" in found) {
    note(found.error);
    if (root.dataset.state === "name") one("form.name p").textContent = found.error;
  } else {
    answer = found;
    rater = found.rater;
    localStorage.setItem(NAME, rater);
    await show();
  }
  busy = false;
  delete root.dataset.busy;
}

async function show() {
  given = { sc: answer.sc ?? null, pq: answer.pq ?? null };
  if (answer.end) {
    root.dataset.state = "end";
    one(".thanks").textContent = answer.short
      ? `You have rated ${answer.done} images. ${answer.short} cases still need raters` +
        (answer.more ? "; you can help with more." : ", others than you.")
      : `You have rated ${answer.done} images, and every case has all its raters.`;
    one('.end [data-do="more"]').hidden = !answer.more;
    one('.end [data-do="back"]').hidden = !answer.back;
    return;
  }
  const image = one(".image");
  image.src = one(".afar").src = answer.image;
  await Promise.all([image.decode(), one(".afar").decode()]);
  sharpen(image);
  sharpen(one(".afar")); // few pixels, much enlarged, are easier to recognise from afar
  one(".who").textContent = answer.rater;
  one(".bar i").style.width = `${(100 * answer.done) / answer.all}%`;
  one(".count").textContent = `${answer.done} of ${answer.all} images`;
  one(".place").textContent = answer.of > 1 ? `image ${answer.number} of ${answer.of} for this case` : "";
  one('footer [data-do="back"]').disabled = !answer.back;
  one('footer [data-do="next"]').hidden = answer.sc === null;
  one(".text").replaceChildren(...marked(answer.text));
  one(".references").replaceChildren(...answer.references.map(reference));
  one(".references").dataset.count = String(answer.references.length);
  one(".questions").replaceChildren(...answer.questions.map(question));
  root.dataset.token = answer.token;
  root.dataset.state = "work";
  paint();
}

// Few pixels are shown as squares; many are smoothed.
function sharpen(image) {
  image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= 256);
}

const badge = (marker, text) => {
  const made = node("b", "marker", text);
  made.dataset.marker = String((marker - 1) % 6);
  return made;
};
const marked = (text) =>
  text.split(/(\[ref#[1-9][0-9]{0,3}\])/).map((part, place) =>
    place % 2 ? badge(Number(part.slice(5, -1)), part) : document.createTextNode(part));

function reference(found) {
  const made = node("figure");
  const image = node("img");
  image.src = found.image;
  image.decode().then(() => sharpen(image));
  const caption = node("figcaption");
  caption.append(badge(found.marker, `[ref#${found.marker}]`), ` ${found.text}`);
  made.append(image, caption);
  return made;
}

function question(found) {
  const made = node("li");
  if (found.marker) made.append(badge(found.marker, `[ref#${found.marker}]`), " ");
  made.append(found.text);
  return made;
}

function paint() {
  for (const button of root.querySelectorAll(".scales button"))
    button.setAttribute("aria-pressed", String(given[button.dataset.scale] === Number(button.dataset.value)));
}

async function choose(scale, value) {
  given[scale] = value;
  paint();
  const changed = answer.sc === null || given.sc !== answer.sc || given.pq !== answer.pq;
  if (given.sc !== null && given.pq !== null && changed)
    await go({ rate: answer.token, sc: given.sc, pq: given.pq, click: newClick() });
}

const actions = {
  back: () => answer.back && go({ show: answer.back }),
  next: () => !answer.end && answer.sc !== null && go(answer.next ? { show: answer.next } : {}),
  more: () => { more = true; return go({}); },
  guide: () => { one(".over").hidden = !one(".over").hidden; },
};

function build() {
  for (const place of root.querySelectorAll(".guide"))
    for (const paragraph of guideline) {
      const made = node("p");
      made.innerHTML = paragraph;
      place.append(made);
    }
  for (const scale of scales) {
    const row = node("div", "scale");
    const title = node("h2", "", scale.title);
    title.append(node("small", "", scale.note));
    row.append(title);
    for (const [key, value, name, meaning] of scale.grades) {
      const button = node("button");
      button.type = "button";
      button.dataset.scale = scale.name;
      button.dataset.value = String(value);
      button.dataset.key = key;
      button.append(node("kbd", "", key.toUpperCase()), node("strong", "", name), node("small", "", meaning));
      row.append(button);
    }
    one(".scales").append(row);
  }
}

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || busy) return;
  if (button.dataset.scale) choose(button.dataset.scale, Number(button.dataset.value));
  else if (button.dataset.do) actions[button.dataset.do]();
  button.blur(); // Enter must not press it again
});

one("form.name").addEventListener("submit", (event) => {
  event.preventDefault();
  if (busy) return;
  rater = one('[name="rater"]').value;
  go({});
});

// Digits by their place on the keyboard (they need a shift key on some), letters by what they write.
function pressed(event) {
  const digit = /^(?:Digit|Numpad)([1-3])$/.exec(event.code);
  return digit ? digit[1] : event.key.toLowerCase();
}

document.addEventListener("keydown", (event) => {
  if (!root.isConnected || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (root.dataset.state === "name" || busy) return;
  const key = pressed(event);
  const names = { backspace: "back", arrowleft: "back", enter: "next", arrowright: "next", "?": "guide" };
  let name = names[key];
  if (name === "next" && root.dataset.state === "end") name = answer.more ? "more" : undefined;
  if (key === "escape") one(".over").hidden = true;
  const grade = one(`.scales button[data-key="${CSS.escape(key)}"]`);
  if (name) actions[name]();
  else if (grade && root.dataset.state === "work") choose(grade.dataset.scale, Number(grade.dataset.value));
  else return;
  event.preventDefault();
});

build();
rater = localStorage.getItem(NAME) ?? "";
one('[name="rater"]').value = rater;
one('[name="rater"]').focus();
