import { unreachable } from '../../base/errors.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { damaged } from './errors.ts'

/**
 * Plain data as JSON in ASCII. What JSON has no notation for is an object of one marked key: `{"$bigint":"-5"}`,
 * `{"$bytes":"00ff"}`.
 */

const BIGINT = '$bigint'
const BYTES = '$bytes'
const MAXIMUM_DEPTH = 32
const MAXIMUM_BIGINT_DIGITS = 80
const HEX = '0123456789abcdef'

export function encodePlain(value: PlainData): Uint8Array {
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  const text = JSON.stringify(mark(value)).replace(/[^\x20-\x7e]/g, escaped)
  return Uint8Array.from({ length: text.length }, (_, at) => text.charCodeAt(at))
}

/** `what` names the data in messages. @throws TenonError SNAPSHOT_INVALID. */
export function decodePlain(bytes: Uint8Array, what: string): PlainData {
  let parsed: unknown
  try {
    parsed = JSON.parse(toText(bytes))
  } catch (cause) {
    throw damaged(`${what} is not in order`, cause)
  }
  return unmark(parsed, what, MAXIMUM_DEPTH)
}

function mark(value: PlainData): unknown {
  if (typeof value === 'bigint') return { [BIGINT]: value.toString() }
  if (typeof value === 'number' && !Number.isFinite(value)) return unreachable(`${value} in a snapshot`)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return { [BYTES]: toHex(value) }
  if (Array.isArray(value)) return value.map(mark)
  return Object.fromEntries(Object.entries(value).map(([key, item]) => {
    if (key.startsWith('$')) unreachable(`a key '${key}' in a snapshot`)
    return [key, mark(item)]
  }))
}

function unmark(value: unknown, what: string, depth: number): PlainData {
  if (typeof value !== 'object' || value === null) return value as PlainData
  if (depth === 0) throw damaged(`${what} is nested too deeply`)
  if (Array.isArray(value)) return value.map((item) => unmark(item, what, depth - 1))
  const entries = Object.entries(value)
  const [key, marked] = entries[0] ?? ['', null]
  if (!key.startsWith('$')) return Object.fromEntries(entries.map(([name, item]) => [name, unmark(item, what, depth - 1)]))
  if (entries.length !== 1 || typeof marked !== 'string') throw damaged(`${what} has an unknown mark`)
  if (key === BYTES) return fromHex(marked, what)
  if (key === BIGINT && marked.length <= MAXIMUM_BIGINT_DIGITS && /^-?[0-9]+$/.test(marked)) return BigInt(marked)
  throw damaged(`${what} has an unknown mark`)
}

function toText(bytes: Uint8Array): string {
  const pieces: string[] = []
  for (let at = 0; at < bytes.length; at += 4096) pieces.push(String.fromCharCode(...bytes.subarray(at, at + 4096)))
  return pieces.join('')
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => HEX[byte >> 4] + HEX[byte & 15]).join('')
}

function fromHex(text: string, what: string): Uint8Array {
  const digit = (at: number): number => HEX.indexOf(text[at])
  if (text.length % 2 !== 0) throw damaged(`${what} has half a byte`)
  return Uint8Array.from({ length: text.length / 2 }, (_, n) => {
    const high = digit(2 * n)
    const low = digit(2 * n + 1)
    if (high < 0 || low < 0) throw damaged(`${what} has bytes that are not in hexadecimal`)
    return high * 16 + low
  })
}
