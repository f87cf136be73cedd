import { readFile } from 'node:fs/promises'
import type { Document, LineCounter, ParsedNode } from 'yaml'
import { hostError } from '../../errors.ts'
import type { ImageDefinition } from './definition.ts'
import { BUILT_IN_DEFINITIONS, DEBIAN_IMAGE_NAMES } from './names.ts'

const MAXIMUM_SIZE = 4 * 1024 ** 2

/** The definition of an image that comes with Tenon. Throws TenonError IMAGE_UNKNOWN. */
export async function builtInDefinition(name: string): Promise<ImageDefinition> {
  if (!Object.hasOwn(BUILT_IN_DEFINITIONS, name)) {
    throw hostError('IMAGE_UNKNOWN', `there is no image ${JSON.stringify(name)}: there is ${DEBIAN_IMAGE_NAMES.join(', ')}`)
  }
  const file = BUILT_IN_DEFINITIONS[name]
  return parseDefinition(await readFile(new URL(`definitions/${file}`, import.meta.url), 'utf8'), file)
}

/** Reads a user's file. Throws TenonError FILE_UNREADABLE or IMAGE_DEFINITION_INVALID. */
export async function readDefinitionFile(path: string): Promise<ImageDefinition> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw hostError('FILE_UNREADABLE', `the image definition ${path} cannot be read: see to the path and its permissions`, cause)
  })
  return parseDefinition(text, path)
}

/** Reads YAML 1.2. Throws TenonError IMAGE_DEFINITION_INVALID, which names `file`, line, field, and what is wrong with it. */
export async function parseDefinition(text: string, file: string): Promise<ImageDefinition> {
  // Loaded here: most starts of the program need neither.
  const [{ LineCounter, parseDocument }, { imageDefinitionSchema }] = await Promise.all([import('yaml'), import('./definition.ts')])
  if (text.length > MAXIMUM_SIZE) throw invalid(`${file}: it is larger than ${MAXIMUM_SIZE} bytes`)
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true })
  const [error] = document.errors
  if (error !== undefined) throw invalid(`${file}:${lineCounter.linePos(error.pos[0]).line}: ${error.message}`)
  const result = imageDefinitionSchema.safeParse(toPlain(document, file))
  if (result.success) return result.data
  const source: Source = { document, lineCounter, file, schema: imageDefinitionSchema }
  throw invalid(result.error.issues.map(issue => describeIssue(issue, source)).join('; '))
}

/** Aliases that multiply ("a billion laughs") are an error, not a full memory. */
function toPlain(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown
  } catch (cause) {
    throw invalid(`${file}: ${cause instanceof Error ? cause.message : 'it cannot be read'}`)
  }
}

interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly code?: string
  readonly keys?: readonly string[]
}

/** A definition's text as parsed, and what it should be. */
interface Source {
  readonly document: Document.Parsed
  readonly lineCounter: LineCounter
  readonly file: string
  readonly schema: unknown
}

function describeIssue(issue: Issue, source: Source): string {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys?.[0] : undefined
  const path = unknown === undefined ? issue.path : [...issue.path, unknown]
  const what = unknown === undefined ? issue.message : `there is no such field; there are ${fieldsAt(source.schema, issue.path).join(', ')}`
  return `${source.file}:${lineOf(path, source)}: ${formatPath(path)}: ${what}`
}

/** The line of the value at `path`, or of the nearest one around it that is there. */
function lineOf(path: readonly PropertyKey[], { document, lineCounter }: Source): number {
  for (let length = path.length; length >= 0; length--) {
    const node = nodeAt(document, path.slice(0, length))
    if (node?.range) return lineCounter.linePos(node.range[0]).line
  }
  return 1
}

function nodeAt(document: Document.Parsed, path: readonly PropertyKey[]): ParsedNode | undefined {
  const node: unknown = path.length === 0 ? document.contents : document.getIn(path, true)
  return (node ?? undefined) as ParsedNode | undefined
}

/** `users[0].name`. */
function formatPath(path: readonly PropertyKey[]): string {
  const text = path.map(part => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('').replace(/^\./, '')
  return text === '' ? 'the file' : text
}

/** What a mapping of the definition may hold. */
function fieldsAt(root: unknown, path: readonly PropertyKey[]): string[] {
  let schema = root
  for (const part of path) schema = typeof part === 'number' ? innermost(schema).element : innermost(schema).shape?.[String(part)]
  return Object.keys(innermost(schema).shape ?? {})
}

interface AnySchema {
  readonly shape?: Readonly<Record<string, unknown>>
  readonly element?: unknown
}

/** A schema without its default. */
function innermost(schema: unknown): AnySchema {
  const { def } = schema as { def?: { innerType?: unknown } }
  return def?.innerType === undefined ? schema as AnySchema : innermost(def.innerType)
}

function invalid(what: string): Error {
  return hostError('IMAGE_DEFINITION_INVALID', what)
}
