// Elements from data. Texts are only ever set as text, so that none of them can become markup.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const cell = (name, text, attributes = {}) => element(name, attributes, text);
