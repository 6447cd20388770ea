// What of a score comes from where: words of the query marked, and a heat map of words against words.

import { cell, element } from "./dom.js";

// The service counts characters in Unicode code points, JavaScript in UTF-16 units.
const pieces = (points, start, end) => points.slice(start, end).join("");

// These end a word without being part of it.
const MARKS = new Set(".,;:!?…)]");
const isSpace = (point) => /^\s$/u.test(point);

/**
 * The words of a text: [{text, start, end, tokens: [positions]}]. Tokens of one word touch; special tokens and those of
 * mere spaces are of none. The service puts words together by the same rule, in words.py.
 */
export function words(text, tokens) {
  const points = Array.from(text);
  const found = [];
  tokens.forEach((token, position) => {
    const [start, end] = token.start === null ? [0, 0] : trimmed(points, token.start, token.end);
    if (start === end) return;
    const isMark = MARKS.has(pieces(points, start, end)) && (end === points.length || isSpace(points[end]));
    const last = found.at(-1);
    if (last && last.end >= start && !isMark) {
      last.end = Math.max(end, last.end);
      last.tokens.push(position);
    } else {
      found.push({ start, end, tokens: [position] });
    }
  });
  return found.map((word) => ({ ...word, text: pieces(points, word.start, word.end) }));
}

function trimmed(points, start, end) {
  while (start < end && isSpace(points[start])) start += 1;
  while (start < end && isSpace(points[end - 1])) end -= 1;
  return [start, end];
}

/** What each word of the query adds with each word of the target: rows of numbers, the rest of a row apart. */
export function contributions(queryWords, targetWords, explanation) {
  const rowOf = placeOf(queryWords);
  const columnOf = placeOf(targetWords);
  const rows = queryWords.map(() => targetWords.map(() => 0));
  const others = queryWords.map((word) => word.tokens.reduce((sum, token) => sum + explanation.rest[token], 0));
  for (const pair of explanation.pairs) {
    const row = rowOf.get(pair.query_token);
    if (row === undefined) continue;
    const column = columnOf.get(pair.target_token);
    if (column === undefined) others[row] += pair.contribution;
    else rows[row][column] += pair.contribution;
  }
  return { rows, others };
}

function placeOf(found) {
  return new Map(found.flatMap((word, place) => word.tokens.map((token) => [token, place])));
}

/** The words of a vacancy that a skill was found by, in the order of the text, with their weights. */
export function wordsOfVacancy({ evidence }) {
  const found = evidence.flatMap((sentence) => sentence.words);
  found.sort((one, other) => one.start - other.start);
  return { found, weights: found.map((word) => word.contribution) };
}

/** The text with its words marked, the strongest most; weights belong to `found`. */
export function marked(text, found, weights) {
  const points = Array.from(text);
  const strongest = Math.max(...weights.map(Math.abs), 1e-9);
  const nodes = [];
  let at = 0;
  found.forEach((word, place) => {
    nodes.push(pieces(points, at, word.start), heated(element("mark", {}, word.text), weights[place] / strongest));
    at = word.end;
  });
  nodes.push(pieces(points, at));
  return nodes;
}

/** The heat map with a row for each word of the query whose position is among `shownRows`. */
export function fillHeatMap(table, queryWords, targetWords, { rows, others }, shownRows) {
  const strongest = Math.max(...rows.flat().map(Math.abs), 1e-9);
  const head = element("tr", {}, cell("td", "", { class: "sum" }));
  head.append(...targetWords.map((word) => cell("th", word.text, { scope: "col" })));
  head.append(cell("th", "other", { scope: "col", class: "sum", title: "marks around the text, and what is too small to show" }));
  const body = shownRows.map((place) => {
    const row = rows[place];
    const line = element("tr", {}, cell("th", queryWords[place].text, { scope: "row" }));
    line.append(...row.map((value) => heated(cell("td", shown(value)), value / strongest)));
    line.append(cell("td", shown(others[place]), { class: "sum" }));
    return line;
  });
  table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

const shown = (value) => (Math.abs(value) < 0.005 ? "" : value.toFixed(2));

function heated(node, share) {
  node.style.setProperty("--heat", Math.min(1, Math.abs(share)).toFixed(3));
  node.classList.toggle("against", share < 0);
  return node;
}
