/** What two machines that ran alike differ in. */
import type { FrameMap } from '../../machine/frame-map.ts'
import { FrameState, HIGH_MEMORY_PAGE, frameAddress } from '../../machine/frame-map.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import type { Machine } from '../machine.ts'

const WORDS = 1024

/** The first differences, each as `place: interpreted, translated`. */
export type Differences = readonly string[]

const MAXIMUM = 8

/** All registers of the processor, RFLAGS worked out, and the state of every device. */
export function compareParts(interpreted: Machine, translated: Machine): Differences {
  const found: string[] = []
  for (const [name, part] of Object.entries(interpreted.parts)) compareData(name, part.save(), translated.parts[name].save(), found)
  return found
}

/** All of RAM. */
export function compareMemory(interpreted: Machine, translated: Machine): Differences {
  const found: string[] = []
  const { lowPages, highPages } = interpreted.frames
  for (const [first, count] of [[0, lowPages], [HIGH_MEMORY_PAGE, highPages]]) {
    for (let page = first; page < first + count && found.length < MAXIMUM; page++) {
      comparePage(interpreted.frames, translated.frames, page, found)
    }
  }
  return found
}

function comparePage(a: FrameMap, b: FrameMap, page: number, found: string[]): void {
  const [entryA, entryB] = [a.entries[page], b.entries[page]]
  if ((entryA & entryB & FrameState.ZERO) !== 0 || (entryA & FrameState.PRESENT) === 0) return
  const [atA, atB] = [frameAddress(entryA) / 4, frameAddress(entryB) / 4]
  const [wordsA, wordsB] = [a.pool.u32, b.pool.u32]
  for (let word = 0; word < WORDS; word++) {
    if (wordsA[atA + word] === wordsB[atB + word]) continue
    found.push(`memory 0x${(page * 4096 + word * 4).toString(16)}: ${show(wordsA[atA + word])}, ${show(wordsB[atB + word])}`)
    return
  }
}

function compareData(path: string, a: PlainData | undefined, b: PlainData | undefined, found: string[]): void {
  if (found.length >= MAXIMUM || Object.is(a, b)) return
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    found.push(`${path}: ${show(a)}, ${show(b)}`)
    return
  }
  const [left, right] = [a, b] as unknown as Record<string, PlainData>[]
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) compareData(`${path}.${key}`, left[key], right[key], found)
}

function show(value: PlainData | undefined): string {
  return typeof value === 'bigint' || typeof value === 'number' ? `0x${value.toString(16)}` : `${value as string}`
}
