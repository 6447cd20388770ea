// What is asked of the service for a text: a ranking, or the skills of a whole vacancy.

/** A text of several sentences or lines; one sentence alone is ranked, which says more of each result. */
const isVacancy = (task, text) => task === "skillextract" && /\n|[.!?]\s+\S/u.test(text);

export function questionOf(task, text, topK) {
  if (isVacancy(task, text)) return { path: "extract", body: { text, top_k: topK, explain: true } };
  return { path: `rank/${task}`, body: { query: text, top_k: topK, explain: true } };
}

/** An answer as the page shows it: the results, and how many tokens of the text were left unread. */
export function shownAnswer({ path }, answer, text) {
  if (path === "extract") return { text, results: answer.skills.map(ofSkill), truncated: null, sentences: answer.sentences };
  const [{ targets, truncated, query_tokens: tokens }] = answer.results;
  return { text, tokens, results: targets.map(ofTarget), truncated };
}

function ofTarget(target) {
  const note = target.matched_alias ? `also called: ${target.matched_alias}` : "";
  return { ...target, matched: target.matched_alias ?? target.text, note };
}

function ofSkill(skill) {
  const [best, ...others] = skill.evidence;
  const more = others.length ? ` (and ${others.length} more)` : "";
  return { ...skill, matched: skill.text, note: `“${best.text}”${more}` };
}
