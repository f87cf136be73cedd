/**
 * Which room of `src/` may import which. Paths are relative to `src/`, with forward slashes; a room is a path's first folder, and
 * `index` is the package's entry, `src/index.ts`.
 */
const CORE = ['base', 'machine', 'cpu', 'devices', 'storage', 'network', 'vmm']

/** Room to the rooms that it may import, beside itself. Types count as well: a room does not know what is above it. */
export const MAY_IMPORT = {
  base: [],
  machine: ['base'],
  cpu: ['machine', 'base'],
  devices: ['machine', 'base'],
  storage: ['machine', 'base'],
  network: ['machine', 'base'],
  vmm: CORE,
  host: CORE,
  api: ['host', ...CORE],
  web: ['api', ...CORE],
  cli: ['api', 'host', 'base'],
  index: ['api', 'host', 'base'],
  bench: ['api', 'host', 'base'],
}

/** Exceptions, by file: what else it may import, and why. One that is no longer used is an error. */
export const ALLOWED = [
  { from: 'bench/guests/v86.ts', to: 'v86', why: 'a peer to compare with; the benchmark is not in the package' },
]

/** Rooms that run in a web page as well as in Node: no module of Node's, no package. */
const PORTABLE = new Set(CORE)

/**
 * Removes comments, so that an example in one is not taken for an import. Knows strings, because `'https://…'` is no comment, but not
 * regular expressions: one that holds a quote ends at its line's end at the latest.
 */
function withoutComments(source) {
  const TOKENS = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[^]*?\*\//g
  return source.replace(TOKENS, token => token.startsWith('/') ? ' ' : token)
}

/**
 * The imports of a TypeScript file: each module specifier once. `isType` says that it is only ever imported with `import type` or
 * `export type`, so that nothing is left of it at run time.
 */
export function readImports(source) {
  const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:[\w*{][^'";=()]*?\sfrom\s+)?(['"])([^'"\n]+)\2/gm
  const CALL = /\bimport\s*\(\s*(['"])([^'"\n]+)\1\s*\)/g
  const code = withoutComments(source)
  const found = [
    ...[...code.matchAll(STATEMENT)].map(([, type, , specifier]) => ({ specifier, isType: type !== undefined })),
    ...[...code.matchAll(CALL)].map(([, , specifier]) => ({ specifier, isType: false })),
  ]
  const specifiers = [...new Set(found.map(({ specifier }) => specifier))]
  return specifiers.map(specifier => ({ specifier, isType: found.every(each => each.specifier !== specifier || each.isType) }))
}

/** The path that a relative specifier in the file `path` leads to. */
export function resolveImport(path, specifier) {
  const parts = path.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

export function roomOf(path) {
  const [first, ...rest] = path.split('/')
  return rest.length === 0 ? first.replace(/\.ts$/, '') : first
}

function isTest(path) {
  return path.endsWith('.test.ts') || path.split('/').includes('testing')
}

function packageOf(specifier) {
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

/** Why `path` may not import `specifier`, or undefined if it may. */
function objection(path, specifier, dependencies) {
  const room = roomOf(path)
  if (specifier.startsWith('.')) return relativeObjection(path, room, resolveImport(path, specifier))
  if (isTest(path)) return undefined
  if (PORTABLE.has(room)) return `${room} runs in web pages too: neither Node's modules nor packages`
  if (specifier.startsWith('node:')) return undefined
  return dependencies.has(packageOf(specifier)) ? undefined : `${packageOf(specifier)} is not among the dependencies in package.json`
}

function relativeObjection(path, room, target) {
  if (target.startsWith('..')) return isTest(path) ? undefined : 'it is outside src/'
  if (isTest(target) && !isTest(path)) return 'it is for tests only, and is not built'
  const other = roomOf(target)
  return other === room || MAY_IMPORT[room].includes(other) ? undefined : `${room} may not import ${other}`
}

/**
 * Checks files against the rules. Returns one line for each broken rule.
 *
 * @param {ReadonlyMap<string, string>} files path to TypeScript source
 * @param {ReadonlySet<string>} dependencies the packages that package.json names
 * @param {readonly { from: string, to: string, why: string }[]} [allowed] `to` is a specifier as it stands in the file `from`
 */
export function checkImports(files, dependencies, allowed = ALLOWED) {
  const used = new Set()
  const broken = []
  const graph = new Map()
  for (const [path, source] of files) {
    if (!Object.hasOwn(MAY_IMPORT, roomOf(path))) {
      broken.push(`${path}: ${roomOf(path)} is not a room, see scripts/lib/import-rules.mjs`)
      continue
    }
    const imports = readImports(source)
    graph.set(path, imports.filter(({ specifier, isType }) => specifier.startsWith('.') && !isType).map(each => resolveImport(path, each.specifier)))
    for (const { specifier } of imports) {
      const why = objection(path, specifier, dependencies)
      const exception = allowed.find(({ from, to }) => from === path && to === specifier)
      if (why !== undefined && exception !== undefined) used.add(exception)
      else if (why !== undefined) broken.push(`${path} imports ${specifier}: ${why}`)
    }
  }
  const stale = allowed.filter(exception => !used.has(exception)).map(({ from, to }) => `the exception for ${from} to import ${to} is not used: remove it`)
  return [...broken, ...stale, ...findCycles(graph).map(cycle => `cycle: ${cycle.join(' -> ')}`)]
}

/** Cycles among files, one for each edge that closes one in a depth-first walk. */
export function findCycles(graph) {
  const cycles = []
  const finished = new Set()
  const trail = []
  const visit = path => {
    const at = trail.indexOf(path)
    if (at >= 0) cycles.push([...trail.slice(at), path])
    if (at >= 0 || finished.has(path)) return
    trail.push(path)
    graph.get(path)?.forEach(visit)
    trail.pop()
    finished.add(path)
  }
  for (const path of graph.keys()) visit(path)
  return cycles
}
