// The request on the screen, as a person would send it from a shell or from Python.

const inShell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** JSON that is a Python literal too: this body holds only texts and whole numbers. */
const inPython = (text) => JSON.stringify(text);

export function curl(base, task, body, hasKey) {
  const key = hasKey ? ` \\\n     -H "X-API-Key: $UWE_KEY"` : "";
  return `curl -s ${inShell(`${base}rank/${task}`)} -H 'Content-Type: application/json'${key} \\\n     -d ${inShell(JSON.stringify(body))}`;
}

export function python(base, task, body, hasKey) {
  const key = hasKey ? `, api_key=os.environ["UWE_KEY"]` : "";
  return [
    ...(hasKey ? ["import os", ""] : []),
    "from service.client import UweClient",
    "",
    `with UweClient(${inPython(base.replace(/\/$/, ""))}${key}) as client:`,
    `    answer = client.rank(${inPython(task)}, ${inPython(body.query)}, top_k=${body.top_k})`,
    "for target in answer.results[0].targets:",
    "    print(target.rank, target.text, target.normalised_score)",
  ].join("\n");
}
