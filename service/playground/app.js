// The page: what is asked, what is shown, and what a key does.

import { Problem, ask, readiness, spaces, tasks } from "./api.js";
import { byId, cell, element } from "./dom.js";
import { contributions, fillHeatMap, marked, words, wordsOfVacancy } from "./evidence.js";
import { questionOf, shownAnswer } from "./questions.js";
import { curl, python } from "./snippets.js";

const TYPING_PAUSE = 120; // milliseconds after the last key before a request is sent
const RETRY_PAUSE = 1500; // while the service is still loading
const MOST_RESULTS = 50; // that the service explains, unless it is set otherwise
const MOST_ROWS = 12;

const page = { tasks: [], spaces: new Map(), shown: null, selected: 0, request: null, timer: null };

const key = () => byId("key").value.trim();
const task = () => page.tasks.find((one) => one.name === document.querySelector("[name=task]:checked")?.value);

start();

async function start() {
  byId("form").addEventListener("submit", (event) => event.preventDefault());
  byId("query").addEventListener("input", () => askSoon());
  byId("top-k").addEventListener("input", () => askSoon());
  byId("key").addEventListener("change", () => load());
  byId("example").addEventListener("click", showExample);
  byId("results").addEventListener("keydown", moveSelection);
  byId("query").addEventListener("keydown", enterResults);
  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", copy);
  await load();
}

/** Learn what can be ranked here; again and again while the service loads. */
async function load() {
  clearTimeout(page.timer);
  try {
    const { model, backend, precision } = await readiness();
    const [foundTasks, foundSpaces] = await Promise.all([tasks(key()), spaces(key())]);
    page.tasks = foundTasks;
    page.spaces = new Map(foundSpaces.map((space) => [space.name, space]));
    byId("service").textContent = `model ${model.name} · ${backend} in ${precision}`;
    showTasks();
    takeFromAddress();
    showTask();
    showProblem(null);
    askSoon(0);
  } catch (error) {
    showProblem(error);
    if (error.status === 401 || error.status === 403) byId("options").open = true;
    else page.timer = setTimeout(load, RETRY_PAUSE);
  }
}

function showTasks() {
  const chosen = task()?.name ?? page.tasks[0].name;
  const choices = page.tasks.map((one) => {
    const input = element("input", { type: "radio", name: "task", value: one.name });
    input.checked = one.name === chosen;
    input.addEventListener("change", () => { showTask(); askSoon(0); });
    return element("label", { title: one.description }, input, element("span", {}, one.name));
  });
  byId("tasks").replaceChildren(...choices);
}

function showTask() {
  const { description, queries, example, target_space: name } = task();
  byId("task-description").textContent = description;
  byId("queries").textContent = queries;
  byId("query").placeholder = example ?? "";
  byId("example").hidden = !example;
  const space = page.spaces.get(name);
  const facts = [
    `${space.targets.toLocaleString("en")} targets of ${name}`,
    space.taxonomy_version && `version ${space.taxonomy_version}`,
    space.licence && `licence: ${space.licence}`,
    space.attribution,
  ];
  byId("attribution").textContent = facts.filter(Boolean).join(" · ");
}

function showExample() {
  byId("query").value = task().example;
  askSoon(0);
  byId("query").focus();
}

/** `#task=...&text=...`: a question can be sent to a colleague. */
function takeFromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const input = document.querySelector(`[name=task][value="${CSS.escape(asked.get("task") ?? "")}"]`);
  if (input) input.checked = true;
  if (asked.has("text") && !byId("query").value) byId("query").value = asked.get("text");
}

function askSoon(pause = TYPING_PAUSE) {
  clearTimeout(page.timer);
  page.timer = setTimeout(askNow, pause);
}

async function askNow() {
  page.request?.abort();
  const text = byId("query").value.trim();
  if (!text || !task()) {
    show(null);
    byId("status").textContent = "";
    return;
  }
  const request = (page.request = new AbortController());
  const question = questionOf(task().name, text, topK());
  history.replaceState(null, "", `#${new URLSearchParams({ task: task().name, text })}`);
  try {
    const { answer, milliseconds } = await ask(question, { key: key(), signal: request.signal });
    if (request !== page.request) return; // a later question is on its way
    showProblem(null);
    show(shownAnswer(question, answer, text));
    showRequest(question);
    byId("status").textContent = inWords(page.shown, milliseconds);
  } catch (error) {
    if (error.name === "AbortError") return;
    showProblem(error);
    if (error.status === 401 || error.status === 403) byId("options").open = true;
  }
}

function inWords({ results, sentences, truncated }, milliseconds) {
  const targets = page.spaces.get(task().target_space).targets.toLocaleString("en");
  const from = sentences === undefined ? "" : ` from ${sentences} sentences`;
  const cut = truncated ? `; only the first ${truncated.kept_tokens} of ${truncated.tokens} tokens were read` : "";
  return `${results.length} of ${targets}${from} in ${milliseconds.toFixed(0)} ms${cut}`;
}

const topK = () => Math.min(MOST_RESULTS, Math.max(1, Math.trunc(Number(byId("top-k").value)) || 10));

function showProblem(error) {
  const known = error instanceof Problem || error === null;
  byId("problem").hidden = error === null;
  byId("problem").textContent = error === null ? "" : error.message;
  if (error !== null) {
    byId("status").textContent = "";
    show(null);
  }
  if (!known) throw error; // a mistake of this page belongs into the console
}

function show(shown) {
  page.shown = shown;
  const results = shown?.results ?? [];
  byId("results").replaceChildren(...results.map(resultLine));
  for (const id of ["request", "why", "marked"]) byId(id).hidden = !results.length;
  if (results.length) select(0);
}

function resultLine(result, place) {
  const hasConfidence = result.confidence !== null;
  const value = hasConfidence ? result.confidence : Math.max(0, result.normalised_score);
  const label = hasConfidence ? `${(100 * value).toFixed(0)} %` : result.normalised_score.toFixed(2);
  const meaning = hasConfidence ? "confidence" : "normalised score";
  const meter = element("meter", { min: 0, max: 1, value, "aria-hidden": "true" });
  const line = element(
    "li",
    { role: "option", id: `result-${place}`, "aria-selected": "false" },
    cell("span", String(result.rank), { class: "rank" }),
    cell("span", result.text, { class: "text" }),
    element("span", { class: "figure", title: meaning }, meter, ` ${label}`),
  );
  if (result.note) line.append(cell("span", result.note, { class: "note" }));
  line.addEventListener("click", () => { select(place); byId("results").focus(); });
  return line;
}

function select(place) {
  page.selected = place;
  const list = byId("results");
  [...list.children].forEach((line, other) => {
    line.setAttribute("aria-selected", String(other === place));
    line.querySelector(".text").textContent = page.shown.results[other].text; // without the marks of an explanation
  });
  list.setAttribute("aria-activedescendant", `result-${place}`);
  list.children[place].scrollIntoView({ block: "nearest" });
  const result = page.shown.results[place];
  const isSkill = "evidence" in result;
  byId("why").hidden = isSkill && !result.metadata.description;
  byId("why-title").textContent = isSkill ? result.text : `Why “${result.matched}”`;
  for (const id of ["why-note", "heat-frame"]) byId(id).hidden = isSkill;
  byId("metadata").textContent = result.metadata.description ?? "";
  if (isSkill) markSentences(result);
  else explain(result, list.children[place].querySelector(".text"));
}

function markSentences(skill) {
  const { found, weights } = wordsOfVacancy(skill);
  const text = byId("marked-text");
  text.replaceChildren(...marked(page.shown.text, found, weights));
  text.scrollTop = Math.max(0, text.querySelector("mark").offsetTop - text.clientHeight / 3);
}

function explain(target, label) {
  const queryWords = words(page.shown.text, page.shown.tokens);
  const targetWords = words(target.matched, target.explanation.tokens);
  const parts = contributions(queryWords, targetWords, target.explanation);
  const weights = parts.rows.map((row, place) => row.reduce((sum, value) => sum + value, parts.others[place]));
  byId("marked-text").replaceChildren(...marked(page.shown.text, queryWords, weights));
  fillHeatMap(byId("heat"), queryWords, targetWords, parts, strongest(weights));
  if (target.matched !== target.text) return;
  const columns = targetWords.map((_, column) => parts.rows.reduce((sum, row) => sum + row[column], 0));
  label.replaceChildren(...marked(target.text, targetWords, columns));
}

/** Positions of the words that matter most, in the order of the text: a heat map of a whole advertisement has too many rows. */
function strongest(weights) {
  const order = weights.map((_, place) => place).sort((one, other) => Math.abs(weights[other]) - Math.abs(weights[one]));
  return order.slice(0, MOST_ROWS).sort((one, other) => one - other);
}

function moveSelection(event) {
  const last = byId("results").children.length - 1;
  const next = { ArrowDown: page.selected + 1, ArrowUp: page.selected - 1, Home: 0, End: last }[event.key];
  if (event.key === "Escape" || (event.key === "ArrowUp" && page.selected === 0)) byId("query").focus();
  else if (next !== undefined) select(Math.min(last, Math.max(0, next)));
  else return;
  event.preventDefault();
}

function enterResults(event) {
  const query = byId("query");
  const atEnd = query.selectionStart === query.value.length;
  if (event.key !== "ArrowDown" || !atEnd || !page.shown?.results.length) return;
  event.preventDefault();
  byId("results").focus();
}

function showRequest(question) {
  const base = new URL(".", location.href).href;
  byId("curl").textContent = curl(base, question, Boolean(key()));
  byId("python").textContent = python(base, question, Boolean(key()));
}

async function copy(event) {
  const button = event.currentTarget;
  await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1200);
}
