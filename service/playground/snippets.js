// The request on the screen, as a person would send it from a shell or from Python.

const inShell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** JSON that is a Python literal too: texts alone are written with it. */
const inPython = (text) => JSON.stringify(text);

export function curl(base, { path, body }, hasKey) {
  const key = hasKey ? ` \\\n     -H "X-API-Key: $UWE_KEY"` : "";
  return `curl -s ${inShell(base + path)} -H 'Content-Type: application/json'${key} \\\n     -d ${inShell(JSON.stringify(body))}`;
}

export function python(base, { path, body }, hasKey) {
  const key = hasKey ? `, api_key=os.environ["UWE_KEY"]` : "";
  const [call, results] =
    path === "extract"
      ? [`client.extract(${inPython(body.text)}, top_k=${body.top_k})`, "answer.skills"]
      : [`client.rank(${inPython(path.slice(path.indexOf("/") + 1))}, ${inPython(body.query)}, top_k=${body.top_k})`, "answer.results[0].targets"];
  return [
    ...(hasKey ? ["import os", ""] : []),
    "from service.client import UweClient",
    "",
    `with UweClient(${inPython(base.replace(/\/$/, ""))}${key}) as client:`,
    `    answer = ${call}`,
    `for found in ${results}:`,
    "    print(found.rank, found.text, found.normalised_score)",
  ].join("\n");
}
