import { beforeAll, describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { TenonError } from '../../base/errors.ts'
import { buildPartialEngine } from '../../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../cpu/interpreter/profile-data.ts'
import { TestRandom } from '../../cpu/testing/rig.ts'
import type { KernelImage } from '../boot/kernel-image.ts'
import { busyGuest, INTERRUPT_COUNT } from '../testing/busy-guest.ts'
import { DeterministicMachine } from '../testing/deterministic-machine.ts'
import { expectSame, throughFile } from '../testing/snapshots.ts'
import type { MachineSnapshot } from './snapshot.ts'

const MEMORY = 4 << 20
/** Instructions after which the guest has taken some tens of interrupts. */
const LENGTH = 300_000

let engine: WebAssembly.Module
let kernel: KernelImage
beforeAll(async () => {
  engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  kernel = await busyGuest()
})

function booted(): DeterministicMachine {
  const guest = new DeterministicMachine(MEMORY, engine)
  guest.machine.boot({ kernel, commandLine: '' })
  return guest
}

/** A guest that moves to another machine, through a file, whenever it is told to. */
class Relay {
  guest: DeterministicMachine
  handedOver = 0
  private before = ''

  constructor(guest: DeterministicMachine) { this.guest = guest }

  get console(): string { return this.before + this.guest.console }

  handOver(): void {
    const saved = this.guest.save()
    this.before += this.guest.console
    this.guest = this.guest.successor({ ...saved, snapshot: throughFile(saved.snapshot) })
    this.handedOver++
  }
}

/** Ends of slices: here and there, close together and far apart. */
function sliceEnds(random: TestRandom, length = LENGTH): number[] {
  const ends: number[] = []
  for (let end = 0; end < length;) ends.push(end = Math.min(length, end + 1 + random.below(random.pick([3, 200, 6000, 40000]))))
  return ends
}

describe('a machine saved and restored', () => {
  it('is the same machine', () => {
    const guest = booted()
    guest.runTo(123_456)
    const saved = guest.machine.save()
    expectSame(guest.successor({ snapshot: saved, random: 0 }).machine.save(), saved)
    expectSame(throughFile(saved), saved)
    expect(throughFile(saved).config).toEqual(saved.config)
  })

  it('goes on as if nothing had happened, wherever it was saved', () => {
    const random = new TestRandom(1)
    const original = booted()
    const relay = new Relay(booted())
    for (const end of sliceEnds(random)) {
      original.runTo(end)
      relay.guest.runTo(end)
      if (!random.chance(4)) continue
      relay.handOver()
      expectSame(relay.guest.machine.save(), original.machine.save())
    }
    expect(relay.handedOver).toBeGreaterThan(10)
    expect(relay.console).toBe(original.console)
    expect(original.machine.memory.readU32(gpa(INTERRUPT_COUNT))).toBeGreaterThan(10)
  })

  it('goes on alike from every instruction of its busiest part', () => {
    const original = booted()
    original.runTo(300_000)
    const start = original.save()
    const reference = original.successor(start)
    for (let end = 300_001; end < 300_300; end++) reference.runTo(end)
    for (let stop = 300_001; stop < 300_300; stop += 11) {
      const first = original.successor(start)
      for (let end = 300_001; end <= stop; end++) first.runTo(end)
      const second = first.successor(first.save())
      for (let end = stop + 1; end < 300_300; end++) second.runTo(end)
      expect(second.machine.save().parts).toEqual(reference.machine.save().parts)
    }
  })

  it('has ended if it had', () => {
    const guest = booted()
    guest.runTo(1000)
    guest.machine.vcpu.processor.state.rip = 0x300000n
    guest.machine.memory.write(gpa(0x300000), Uint8Array.of(0x0f, 0x0b)) // UD2
    guest.machine.memory.write(gpa(0x20000), new Uint8Array(0x200))
    expect(guest.runTo(LENGTH)).toBe(false)
    const copy = guest.successor(guest.save())
    expect(copy.machine.run(10)).toEqual({ state: 'ended', reason: 'triple-fault' })
  })
})

describe('runs of an exact length', () => {
  it('are the same every time', () => {
    const ends = sliceEnds(new TestRandom(9), 100_000)
    const [first, second] = [booted(), booted()]
    for (const end of ends) for (const guest of [first, second]) guest.runTo(end)
    expectSame(second.machine.save(), first.machine.save())
    expect([first.machine.retired, first.console]).toEqual([100_000, second.console])
  })

  it('do not depend on what was decoded or translated before', () => {
    const ends = sliceEnds(new TestRandom(10), 100_000)
    const [first, second] = [booted(), booted()]
    for (const end of ends) {
      first.runTo(end)
      second.runTo(end)
      second.machine.vcpu.engine.flush()
      second.machine.vcpu.processor.mmu.tlb.flushAll()
    }
    expectSame(second.machine.save(), first.machine.save())
    expect(second.console).toBe(first.console)
  })
})

describe('a restore', () => {
  const saved = (): MachineSnapshot => {
    const guest = booted()
    guest.runTo(20_000)
    return guest.machine.save()
  }
  const fresh = (memory = MEMORY): DeterministicMachine => new DeterministicMachine(memory, engine)
  const restoring = (snapshot: unknown, guest = fresh()) => () => guest.machine.restore(snapshot as MachineSnapshot)
  const withCode = (code: string): Error => expect.objectContaining({ name: 'TenonError', code }) as Error

  it('needs a fresh machine of the same size', () => {
    const snapshot = saved()
    expect(restoring(snapshot, booted())).toThrow(withCode('MACHINE_IN_USE'))
    expect(restoring(snapshot, fresh(8 << 20))).toThrow(withCode('SNAPSHOT_MISMATCH'))
  })

  it('needs a machine with the same CPU model', () => {
    const snapshot = saved()
    expect(snapshot.config.cpu).toBe('x86-64-v3')
    expect(restoring(snapshot, new DeterministicMachine(MEMORY, engine, 'x86-64-v2'))).toThrow(withCode('SNAPSHOT_MISMATCH'))
    const lacking = { ...snapshot, config: { ...snapshot.config, features: snapshot.config.features.slice(1) } }
    expect(restoring(lacking)).toThrow(withCode('SNAPSHOT_MISMATCH'))
    const poor = new DeterministicMachine(MEMORY, engine, 'x86-64')
    const state = poor.save()
    expectSame(poor.successor({ ...state, snapshot: throughFile(state.snapshot) }).machine.save(), state.snapshot)
  })

  it('refuses formats, versions and parts that it does not know, and leaves the machine fresh', () => {
    const snapshot = saved()
    const [clock, ...others] = snapshot.parts
    const { layout } = snapshot.config
    for (const [code, change] of [
      ['SNAPSHOT_INVALID', { format: 'other' }],
      ['SNAPSHOT_VERSION', { version: 4 }],
      ['SNAPSHOT_INVALID', { config: null }],
      ['SNAPSHOT_MISMATCH', { config: { ...snapshot.config, layout: { ...layout as object, pic: null } } }],
      ['SNAPSHOT_MISMATCH', { config: { ...snapshot.config, disks: [{ place: 'nvme 0', size: 512, blockSize: 512, readOnly: false }] } }],
      ['SNAPSHOT_INVALID', { config: { ...snapshot.config, disks: null } }],
      ['SNAPSHOT_INVALID', { parts: 5 }],
      ['SNAPSHOT_MISMATCH', { parts: others }],
      ['SNAPSHOT_MISMATCH', { parts: [clock, clock, ...others] }],
      ['SNAPSHOT_MISMATCH', { parts: [{ ...clock, schema: 'uart-16550' }, ...others] }],
      ['SNAPSHOT_VERSION', { parts: [{ ...clock, version: 7 }, ...others] }],
      ['SNAPSHOT_MISMATCH', { parts: [{ ...clock, name: '__proto__' }, ...others] }],
      ['SNAPSHOT_INVALID', { memory: null }],
      ['SNAPSHOT_INVALID', { memory: [{ page: 0, bytes: new Uint8Array(100) }] }],
      ['SNAPSHOT_INVALID', { memory: [{ page: 0x400, bytes: new Uint8Array(4096) }] }],
      ['SNAPSHOT_INVALID', { memory: [{ page: 0x3ff, bytes: new Uint8Array(8192) }] }],
      ['SNAPSHOT_INVALID', { memory: [{ page: 2 ** 40, bytes: new Uint8Array(4096) }] }],
      ['SNAPSHOT_INVALID', { memory: [{ page: 5, bytes: new Uint8Array(8192) }, { page: 6, bytes: new Uint8Array(4096) }] }],
      ['SNAPSHOT_INVALID', { memory: [{ page: 1.5, bytes: new Uint8Array(4096) }] }],
    ] as const) {
      const guest = fresh()
      expect(restoring({ ...snapshot, ...change }, guest), JSON.stringify(Object.keys(change))).toThrow(withCode(code))
      expect(restoring(snapshot, guest)).not.toThrow()
    }
    expect(restoring(null)).toThrow(withCode('SNAPSHOT_INVALID'))
  })

  it('that fails half way leaves a machine that does not run', () => {
    const snapshot = saved()
    const guest = fresh()
    const parts = snapshot.parts.map((part) => part.name === 'com4' ? { ...part, state: {} } : part)
    expect(restoring({ ...snapshot, parts }, guest)).toThrow(withCode('SNAPSHOT_INVALID'))
    expect(() => guest.machine.run(1)).toThrow(withCode('MACHINE_UNUSABLE'))
    expect(restoring(snapshot, guest)).toThrow(withCode('MACHINE_IN_USE'))
  })

  it('from a file\'s pieces gives the same machine, and takes the memory to its place as it comes', () => {
    const guest = booted()
    guest.runTo(20_000)
    const copy = fresh()
    copy.machine.decode(guest.machine.encode())
    expectSame(copy.machine.save(), guest.machine.save())
    expect(() => copy.machine.decode(guest.machine.encode())).toThrow(withCode('MACHINE_IN_USE'))
  })

  it('from a file that is of another machine, or cut off before its memory, leaves the machine fresh', () => {
    const guest = booted()
    guest.runTo(20_000)
    const pieces = Array.from(guest.machine.encode(), (piece) => piece.slice())
    const large = fresh(8 << 20)
    expect(() => large.machine.decode(pieces)).toThrow(withCode('SNAPSHOT_MISMATCH'))
    expect(() => large.machine.boot({ kernel, commandLine: '' })).not.toThrow()
    const cut = fresh()
    expect(() => cut.machine.decode(pieces.slice(0, 8))).toThrow(withCode('SNAPSHOT_INVALID'))
    expect(() => cut.machine.decode(pieces)).not.toThrow()
    const late = fresh()
    expect(() => late.machine.decode(pieces.slice(0, -2))).toThrow(withCode('SNAPSHOT_INVALID'))
    expect(() => late.machine.run(1)).toThrow(withCode('MACHINE_UNUSABLE'))
  })

  it('of a damaged snapshot is refused, or gives a machine that the host survives', () => {
    const snapshot = saved()
    const random = new TestRandom(77)
    let refused = 0
    for (let round = 0; round < 60; round++) {
      const broken = random.pick(snapshot.parts)
      const parts = snapshot.parts.map((part) => part === broken ? { ...part, state: damaged(part.state, random) } : part)
      const guest = fresh()
      try {
        restoring({ ...snapshot, parts }, guest)()
        guest.runTo(guest.machine.retired + 2000)
      } catch (error) {
        expect(error).toBeInstanceOf(TenonError)
        expect((error as TenonError).code).toBe('SNAPSHOT_INVALID')
        refused++
      }
    }
    expect(refused).toBeGreaterThan(10)
    expect(refused).toBeLessThan(60)
  })
})

/** The state with one value somewhere in it replaced. */
function damaged(state: unknown, random: TestRandom): never {
  const children = typeof state === 'object' && state !== null && !(state instanceof Uint8Array) ? Object.entries(state) : []
  if (children.length === 0) return damagedLeaf(state, random) as never
  const [key, child] = random.pick(children)
  if (Array.isArray(state)) return state.map((item: unknown, index) => key === `${index}` ? damaged(item, random) : item) as never
  return { ...state as object, [key]: damaged(child, random) } as never
}

function damagedLeaf(value: unknown, random: TestRandom): unknown {
  if (typeof value === 'bigint') return random.pick([value ^ 1n << BigInt(random.below(64)), -1n, 2n ** 64n, 2n ** 64n - 1n])
  if (typeof value === 'number') return random.pick([value ^ 1 << random.below(31), random.next(), -1, NaN])
  if (value instanceof Uint8Array) return random.pick([value.map((byte) => byte ^ random.below(2)), value.slice(1)])
  return random.pick([null, 1, 'x', {}, [], !value])
}
