/** What the project's pages (Markdown) promise to be there: relative links, and paths in backticks that begin at the root. */
import { posix } from 'node:path'

const ROOT_PATH = /^(?:\.ci|docs|scripts|src|test|tools)\/[\w.@/-]+$/

/** Every target of a page, relative to the root. `folder` is the page's own; text in code blocks is no link. */
export function targetsOf(text, folder) {
  const prose = text.replace(/^(```+)[^]*?^\1/gm, '')
  const links = [...prose.replace(/`[^`\n]*`/g, '').matchAll(/\]\(([^)\s#]+)(?:#[^)\s]*)?\)|\b(?:src|href)="([^"#]+)"/g)]
  const quoted = [...prose.matchAll(/`([^`\s]+)`/g)].map(([, code]) => code).filter(code => ROOT_PATH.test(code))
  const relative = links.map(([, link, attribute]) => link ?? attribute).filter(link => !/^[a-z][a-z+.-]*:/i.test(link))
  return [...new Set([...relative.map(link => posix.join(folder, decodeURI(link))), ...quoted])].map(path => path.replace(/\/$/, ''))
}

/**
 * One line for each target that is not there.
 *
 * @param {ReadonlyMap<string, string>} pages path, relative to the root, to text
 * @param {(path: string) => boolean} exists
 */
export function brokenLinks(pages, exists) {
  return [...pages].flatMap(([page, text]) => targetsOf(text, posix.dirname(page))
    .filter(target => target.startsWith('..') || !exists(target))
    .map(target => `${page}: there is no ${target}`))
}
