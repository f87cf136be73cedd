/** What two machines that ran alike differ in. */
import type { FrameMap } from '../../machine/frame-map.ts'
import { FrameState, HIGH_MEMORY_PAGE, frameAddress } from '../../machine/frame-map.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import type { Machine } from '../machine.ts'

const WORDS = 1024
/** Bytes of one register in arrays of them; other arrays are shown in pieces of 16. */
const REGISTER_BYTES: Readonly<Record<string, number>> = { YMM: 32 }
const PIECE_BYTES = 16

/** The first differences, each as `place: interpreted, translated`. */
export type Differences = readonly string[]

const MAXIMUM = 16

/** All registers of the processor, RFLAGS worked out, and the state of every device. */
export function compareParts(interpreted: Machine, translated: Machine): Differences {
  const found: string[] = []
  for (const [name, part] of Object.entries(interpreted.parts)) compareData(name, part.save(), translated.parts[name].save(), found)
  return found
}

/** All of RAM: the first difference of each page. */
export function compareMemory(interpreted: Machine, translated: Machine): Differences {
  return differentWords(interpreted, translated, MAXIMUM, 1).map((at) => {
    const [ours, theirs] = [interpreted, translated].map(({ frames }) => wordAt(frames, at))
    return `memory 0x${at.toString(16)}: ${show(ours)}, ${show(theirs)}`
  })
}

/** Guest-physical addresses of 32-bit words that differ, lowest first: at most about `limit`, and `perPage` of each page. */
export function differentWords(interpreted: Machine, translated: Machine, limit: number, perPage: number): number[] {
  const found: number[] = []
  const { lowPages, highPages } = interpreted.frames
  for (const [first, count] of [[0, lowPages], [HIGH_MEMORY_PAGE, highPages]]) {
    for (let page = first; page < first + count && found.length < limit; page++) {
      found.push(...differencesIn(interpreted.frames, translated.frames, page, perPage))
    }
  }
  return found
}

/** The first words of a page that differ. */
function differencesIn(a: FrameMap, b: FrameMap, page: number, limit: number): number[] {
  const found: number[] = []
  const [entryA, entryB] = [a.entries[page], b.entries[page]]
  if ((entryA & entryB & FrameState.ZERO) !== 0 || (entryA & FrameState.PRESENT) === 0) return found
  const [atA, atB] = [frameAddress(entryA) / 4, frameAddress(entryB) / 4]
  const [wordsA, wordsB] = [a.pool.u32, b.pool.u32]
  for (let word = 0; word < WORDS && found.length < limit; word++) {
    if (wordsA[atA + word] !== wordsB[atB + word]) found.push(page * 4096 + word * 4)
  }
  return found
}

function wordAt({ entries, pool }: FrameMap, address: number): number {
  return pool.u32[(frameAddress(entries[Math.floor(address / 4096)]) + address % 4096) / 4]
}

function compareData(path: string, a: PlainData | undefined, b: PlainData | undefined, found: string[]): void {
  if (found.length >= MAXIMUM || Object.is(a, b)) return
  if (a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length) return compareBytes(path, a, b, found)
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    found.push(`${path}: ${show(a)}, ${show(b)}`)
    return
  }
  const [left, right] = [a, b] as unknown as Record<string, PlainData>[]
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) compareData(`${path}.${key}`, left[key], right[key], found)
}

function compareBytes(path: string, a: Uint8Array, b: Uint8Array, found: string[]): void {
  const size = REGISTER_BYTES[path.slice(path.lastIndexOf('.') + 1)] ?? PIECE_BYTES
  for (let at = 0; at < a.length && found.length < MAXIMUM; at += size) {
    const [left, right] = [a, b].map((bytes) => littleEndian(bytes.subarray(at, at + size)))
    if (left !== right) found.push(`${path}[${at / size}]: ${left}, ${right}`)
  }
}

/** Bytes as one number, as registers are written. */
function littleEndian(bytes: Uint8Array): string {
  return `0x${[...bytes].reverse().map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

function show(value: PlainData | undefined): string {
  return typeof value === 'bigint' || typeof value === 'number' ? `0x${value.toString(16)}` : `${value as string}`
}
