import { beforeAll, describe, expect, it } from 'vitest'
import { buildPartialEngine } from '../../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../cpu/interpreter/profile-data.ts'
import type { KernelImage } from '../boot/kernel-image.ts'
import { busyGuest } from '../testing/busy-guest.ts'
import { FAULTING, LOADING, guestOf, right } from '../testing/lockstep-guests.ts'
import { compareParts } from './compare.ts'
import { Pair } from './pair.ts'
import { HeldPair } from './replay.ts'

let engine: WebAssembly.Module
beforeAll(() => { engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>) })

const config = () => ({ memory: 4 << 20, engine, startTime: Date.UTC(2024, 1, 29), translationThreshold: 3, compiler: right })

describe('a pair that goes in pieces', () => {
  it.each([
    ['with interrupts and string instructions', () => busyGuest(), 'pvh'], ['with exceptions', () => guestOf(FAULTING), 'linux64'],
    ['in loops', () => guestOf(LOADING), 'linux64'],
  ] as const)('%s stays the same', async (_, guest, entry) => {
    const pair = begun(await guest(), entry)
    let seed = 1
    let instructions = 0
    for (let piece = 0; piece < 200; piece++) {
      seed = Math.imul(seed, 1664525) + 1013904223 >>> 0
      instructions += pair.runPiece([1, 1, 7, 300][seed >>> 30])
      expect(compareParts(pair.interpreted, pair.translated)).toEqual([])
    }
    expect(pair.differences()).toEqual([])
    expect(instructions).toBeGreaterThan(300)
    expect(pair.translated.figures.translated > 0).toBe(entry === 'linux64')
  })
})

function begun(kernel: KernelImage, entry: 'pvh' | 'linux64'): HeldPair {
  const pair = new Pair(config())
  pair.boot({ kernel, commandLine: '', entry })
  const step = { time: 0, events: [], instructions: 1_000_000 }
  pair.begin(step)
  const held = new HeldPair(config(), pair.save())
  held.hold(step)
  return held
}
