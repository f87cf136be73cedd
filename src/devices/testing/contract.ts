import { describe, expect, it } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import type { InterruptLine } from '../../machine/interrupts.ts'
import type { MmioDevice, PortDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { FakeClock } from './fake-clock.ts'
import { Random } from '../../base/testing/random.ts'
import { RecordedLine } from './recorded-line.ts'

/** What the contract suite gives to a device under test. */
export class World {
  readonly clock: FakeClock
  readonly lines: RecordedLine[] = []
  /** What the device told its callbacks. */
  readonly events: string[] = []

  constructor(time: number) { this.clock = new FakeClock(time) }

  line(): RecordedLine {
    const line = new RecordedLine()
    this.lines.push(line)
    return line
  }

  event(name: string): () => void { return () => this.events.push(name) }

  levels(): boolean[] { return this.lines.map((line) => line.asserted) }
}

/** A device and the ways to reach it. */
export interface Subject {
  readonly device: Stateful
  readonly ports?: readonly { readonly device: PortDevice, readonly length: number }[]
  readonly mmio?: readonly { readonly device: MmioDevice, readonly length: number, readonly likely?: readonly number[] }[]
  /** Its inputs. They are outside its state: a reset does not change them, so that the suite lowers them first. */
  readonly wires?: readonly InterruptLine[]
  /** Other things that can happen to it; a result is compared like a register's value. */
  readonly actions?: readonly ((random: Random) => number | bigint | boolean | null | void)[]
}

type Result = number | bigint | boolean | null | void
const SIZES: readonly PortSize[] = [1, 2, 4]
const SEEDS = [1, 2, 3, 4, 5, 6]
const STEPS = 1500

/**
 * What holds for every device, whatever it does. `build` makes a fresh one; the same configuration every time.
 *
 * A test file calls it once: `deviceContract('PIC pair', (world) => ...)`.
 */
export function deviceContract(name: string, build: (world: World) => Subject): void {
  describe(`${name}: device contract`, () => {
    const start = (time = 0): { world: World, subject: Subject } => {
      const world = new World(time)
      return { world, subject: build(world) }
    }

    const afterActivity = (seed: number): { world: World, subject: Subject } => {
      const { world, subject } = start()
      activity(world, subject, new Random(seed), STEPS)
      return { world, subject }
    }

    const restored = (world: World, state: PlainData): { world: World, subject: Subject } => {
      const copy = start(world.clock.now())
      copy.subject.device.restore(state)
      copy.subject.device.resume?.()
      return copy
    }

    it('saves plain data with a named schema', () => {
      const { device } = afterActivity(7).subject
      expect(device.schema).toMatch(/^[a-z0-9-]+$/)
      expect(device.version).toBeGreaterThanOrEqual(1)
      expectPlain(device.save())
    })

    it('restores a fresh device from a fresh device', () => {
      const { world, subject } = start()
      const copy = restored(world, subject.device.save())
      expect(copy.subject.device.save()).toEqual(subject.device.save())
    })

    it('goes on after a restore as if nothing had happened', () => {
      for (const seed of SEEDS) {
        const original = afterActivity(seed)
        const copy = restored(original.world, original.subject.device.save())
        expect(copy.subject.device.save()).toEqual(original.subject.device.save())
        expect(copy.world.levels()).toEqual(original.world.levels())
        expect(copy.world.clock.nextDeadline()).toBe(original.world.clock.nextDeadline())
        original.world.events.length = copy.world.events.length = 0
        const expected = activity(original.world, original.subject, new Random(seed + 100), STEPS)
        const actual = activity(copy.world, copy.subject, new Random(seed + 100), STEPS)
        expect(actual).toEqual(expected)
        expect(copy.world.events).toEqual(original.world.events)
        expect(copy.world.levels()).toEqual(original.world.levels())
        expect(copy.subject.device.save()).toEqual(original.subject.device.save())
      }
    })

    it('keeps no reference into the state it was given', () => {
      const original = afterActivity(11)
      const state = original.subject.device.save()
      const copy = restored(original.world, state)
      const before = copy.subject.device.save()
      activity(copy.world, copy.subject, new Random(12), 200)
      expect(state).toEqual(before)
    })

    it('equals a fresh one after a reset', () => {
      for (const seed of SEEDS) {
        const { world, subject } = afterActivity(seed)
        subject.wires?.forEach((wire) => wire.setLevel(false))
        subject.device.reset()
        const fresh = start(world.clock.now())
        fresh.subject.device.reset()
        expect(subject.device.save()).toEqual(fresh.subject.device.save())
        expect(world.levels()).toEqual(fresh.world.levels())
        const expected = activity(fresh.world, fresh.subject, new Random(seed), 300)
        expect(activity(world, subject, new Random(seed), 300)).toEqual(expected)
      }
    })

    it('answers every access with an unsigned value of its size', () => {
      const { world, subject } = start()
      expect(() => activity(world, subject, new Random(99), 5000)).not.toThrow()
    })

    it('rejects a damaged snapshot or lives with it', () => {
      const random = new Random(5)
      for (const junk of [null, 5, 'state', [], {}, new Uint8Array(3)]) {
        expect(() => start().subject.device.restore(junk)).toThrow(TenonError)
      }
      for (let round = 0; round < 150; round++) survivesDamage(afterActivity, start, random, round % SEEDS.length + 1)
    })
  })
}

function survivesDamage(
  afterActivity: (seed: number) => { subject: Subject },
  start: () => { world: World, subject: Subject },
  random: Random,
  seed: number,
): void {
  const state = damaged(afterActivitySaved(afterActivity, seed), random)
  const { world, subject } = start()
  try {
    subject.device.restore(state)
    subject.device.resume?.()
  } catch (error) {
    expect(error).toBeInstanceOf(TenonError)
    expect((error as TenonError).code).toBe('SNAPSHOT_INVALID')
    return
  }
  activity(world, subject, random, 50)
}

const savedStates = new WeakMap<object, Map<number, PlainData>>()

/** Activity is slow next to a restore, so that damage starts from a few saved states. */
function afterActivitySaved(afterActivity: (seed: number) => { subject: Subject }, seed: number): PlainData {
  const states = savedStates.get(afterActivity) ?? new Map<number, PlainData>()
  savedStates.set(afterActivity, states)
  const state = states.get(seed) ?? afterActivity(seed).subject.device.save()
  states.set(seed, state)
  return state
}

/** Random accesses and events, with time passing between them. Returns all that could be observed. */
function activity(world: World, subject: Subject, random: Random, steps: number): Result[] {
  const doings = [...portDoings(subject), ...mmioDoings(subject), ...wireDoings(subject), ...subject.actions ?? []]
  const results: Result[] = []
  for (let step = 0; step < steps; step++) {
    if (random.below(8) === 0) world.clock.advance(random.below(random.pick([10, 5_000, 300_000, 40_000_000])))
    results.push(random.pick(doings)(random))
  }
  return results
}

function portDoings(subject: Subject): ((random: Random) => Result)[] {
  return (subject.ports ?? []).flatMap(({ device, length }) => [
    (random: Random) => checked(random, (size) => device.readPort(random.below(length), size)),
    (random: Random) => device.writePort(random.below(length), 1, random.value() & 0xff),
    (random: Random) => {
      const size = random.pick(SIZES)
      device.writePort(random.below(length), size, masked(random.value(), size))
    },
  ])
}

function mmioDoings(subject: Subject): ((random: Random) => Result)[] {
  return (subject.mmio ?? []).flatMap(({ device, length, likely }) => {
    const offset = (random: Random, size: PortSize): number => {
      const any = likely && random.below(4) !== 0 ? random.pick(likely) : random.below(length)
      return any - any % size
    }
    return [
      (random: Random) => checked(random, (size) => device.readMmio(offset(random, size), size)),
      (random: Random) => device.writeMmio(offset(random, 4), 4, random.value()),
      (random: Random) => {
        const size = random.pick(SIZES)
        device.writeMmio(offset(random, size), size, masked(random.value(), size))
      },
    ]
  })
}

function wireDoings(subject: Subject): ((random: Random) => Result)[] {
  const { wires } = subject
  return wires ? [(random: Random) => random.pick(wires).setLevel(random.below(2) === 1)] : []
}

function checked(random: Random, read: (size: PortSize) => number): number {
  const size = random.pick(SIZES)
  const value = read(size)
  if (!Number.isInteger(value) || value < 0 || value > masked(0xffffffff, size)) {
    throw new Error(`a ${size}-byte read returned ${value}`)
  }
  return value
}

const masked = (value: number, size: PortSize): number => size === 4 ? value : value & 2 ** (8 * size) - 1

function expectPlain(value: unknown): void {
  if (value === null || ['string', 'boolean', 'bigint'].includes(typeof value) || value instanceof Uint8Array) return
  if (typeof value === 'number') return expect(Number.isFinite(value)).toBe(true)
  expect(typeof value).toBe('object')
  const prototype: unknown = Object.getPrototypeOf(value)
  expect(prototype === Object.prototype || prototype === Array.prototype).toBe(true)
  Object.values(value as object).forEach(expectPlain)
}

/** The state with one value, somewhere in it, replaced by one that may be wrong. */
function damaged(state: PlainData, random: Random): PlainData {
  const junk = [null, -1, 0.5, NaN, 2 ** 40, 'x', true, 3, 1e300, 2n ** 70n, [], {}, new Uint8Array(1)] as const
  const children = typeof state === 'object' && state !== null && !(state instanceof Uint8Array) ? Object.entries(state) : []
  if (children.length === 0) {
    return typeof state === 'number' && random.below(2) ? random.value() : random.pick(junk)
  }
  const [key, child] = random.pick(children)
  if (Array.isArray(state)) return state.map((item, index) => String(index) === key ? damaged(item, random) : item)
  return { ...state as Record<string, PlainData>, [key]: damaged(child as PlainData, random) }
}
