/**
 * Files in YAML 1.2 that people write: checked against a schema, with errors that name the file, the line, the field, and what is wrong
 * with it.
 */
import type { Document, LineCounter, ParsedNode } from 'yaml'
import type { ZodType } from 'zod'

const MAXIMUM_SIZE = 4 * 1024 ** 2

/** Makes the error of a kind of files from what is wrong. */
type Invalid = (what: string) => Error

/** Reads a text. Throws what `invalid` makes of the first error of its grammar, or of all that the schema finds. */
export async function parseYaml<T>(text: string, file: string, schema: ZodType<T>, invalid: Invalid): Promise<T> {
  // Loaded here: most starts of the program do not need it.
  const { LineCounter, parseDocument } = await import('yaml')
  if (text.length > MAXIMUM_SIZE) throw invalid(`${file}: it is larger than ${MAXIMUM_SIZE} bytes`)
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true })
  const [error] = document.errors
  if (error !== undefined) throw invalid(`${file}:${lineCounter.linePos(error.pos[0]).line}: ${error.message}`)
  const result = schema.safeParse(toPlain(document, file, invalid))
  if (result.success) return result.data
  const source: Source = { document, lineCounter, file, schema }
  throw invalid(result.error.issues.map(issue => describeIssue(issue, source)).join('; '))
}

/** Aliases that multiply ("a billion laughs") are an error, not a full memory. */
function toPlain(document: Document.Parsed, file: string, invalid: Invalid): unknown {
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

/** A text as parsed, and what it should be. */
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

/** What a mapping of the file may hold. */
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
