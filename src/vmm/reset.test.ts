import { beforeAll, describe, expect, it } from 'vitest'
import { gpa } from '../base/addresses.ts'
import { buildPartialEngine } from '../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../cpu/interpreter/profile-data.ts'
import { FakeDisk } from '../devices/nvme/testing/fake-disk.ts'
import type { KernelImage } from './boot/kernel-image.ts'
import { openKernel } from './boot/kernel-image.ts'
import { KERNEL_ADDRESS, pvhNote, syntheticElf } from './boot/testing/synthetic-kernels.ts'
import { Machine } from './machine.ts'
import type { MachineConfig, RunOutcome } from './machine.ts'
import { busyGuest, INTERRUPT_COUNT } from './testing/busy-guest.ts'
import { DeterministicMachine } from './testing/deterministic-machine.ts'

const MEMORY = 4 << 20
let engine: WebAssembly.Module
beforeAll(() => { engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>) })

/** Code in 32-bit protected mode, as hex. */
function kernelOf(hex: string): Promise<KernelImage> {
  const bytes = Uint8Array.from(hex.split(' '), (byte) => parseInt(byte, 16))
  return openKernel(syntheticElf({ segments: [{ physical: KERNEL_ADDRESS, bytes, memorySize: 0x10000 }], notes: pvhNote(KERNEL_ADDRESS) }))
}

const RESET = '66 ba f9 0c b0 06 ee eb fe' // mov dx, 0xcf9; mov al, 6; out dx, al
const PANIC = (event: string): string => `66 ba 05 05 b0 ${event} ee eb fe` // mov dx, 0x505; mov al, event; out dx, al
/** A countdown of a second (10 ticks), started; then nothing. */
const WATCHDOG = '66 ba 42 06 66 b8 0a 00 66 ef 66 ba 40 06 b0 01 ee eb fe'

/** Time passes by 10 ms a slice. */
function machineOf(config: Partial<MachineConfig> = {}): { machine: Machine, runOn: (slices: number) => RunOutcome } {
  let time = 0
  const machine = new Machine({ memory: 32 << 20, engine, hostNow: () => time, wallClock: () => 0, random: () => 1, ...config })
  const runOn = (slices: number): RunOutcome => {
    let outcome: RunOutcome = { state: 'running' }
    for (let slice = 0; slice < slices && outcome.state !== 'ended'; slice++) {
      outcome = machine.run(1000)
      time += 10e6
    }
    return outcome
  }
  return { machine, runOn }
}

describe('a machine that is reset', () => {
  it('is a fresh one but for the time, boots again, and loses no memory', async () => {
    const kernel = await busyGuest()
    const used = new DeterministicMachine(MEMORY, engine)
    const { freePages } = used.machine.frames.pool
    used.machine.boot({ kernel, commandLine: '' })
    used.runTo(150_000)
    used.machine.reset()
    expect(used.machine.frames.pool.freePages).toBe(freePages)
    const fresh = new DeterministicMachine(MEMORY, engine)
    const timeless = new Set(['clock', 'pit', 'rtc', 'acpi', 'port-b'])
    const partsOf = ({ machine }: DeterministicMachine) => machine.save().parts.filter(({ name }) => !timeless.has(name))
    expect(partsOf(used)).toEqual(partsOf(fresh))
    expect(used.machine.save().memory).toEqual([])
    const [before, seen] = [used.machine.retired, used.console.length]
    used.machine.boot({ kernel, commandLine: '' })
    used.runTo(before + 150_000)
    expect(used.console.length).toBeGreaterThan(seen + 50)
    expect(used.machine.memory.readU32(gpa(INTERRUPT_COUNT))).toBeGreaterThan(10)
  })

  it('has another kernel, if it is given one, as often as one likes', async () => {
    const disk = new FakeDisk(1 << 20)
    const { machine, runOn } = machineOf({ disks: [disk] })
    for (const [hex, reason] of [[RESET, 'reset'], [PANIC('01'), 'panicked'], [RESET, 'reset']]) {
      machine.boot({ kernel: await kernelOf(hex), commandLine: '' })
      expect(runOn(10)).toEqual({ state: 'ended', reason })
      expect(runOn(10)).toEqual({ state: 'ended', reason })
      machine.reset()
    }
    expect(() => machine.restore(machine.save())).not.toThrow()
  })
})

describe('a guest that panics', () => {
  it('ends its machine, unless a crash kernel takes over, or its owner has it go on', async () => {
    const outcomes: unknown[] = []
    for (const [event, outcome] of [['01', undefined], ['02', undefined], ['01', 'go-on'], ['02', 'end']] as const) {
      const heard: string[] = []
      const { machine, runOn } = machineOf(outcome === undefined ? {} : { panicked: (panic) => { heard.push(panic); return outcome } })
      machine.boot({ kernel: await kernelOf(PANIC(event)), commandLine: '' })
      outcomes.push([runOn(10), heard])
    }
    const [running, ended] = [{ state: 'running' }, { state: 'ended', reason: 'panicked' }]
    expect(outcomes).toEqual([[ended, []], [running, []], [running, ['panicked']], [ended, ['crash-kernel']]])
  })
})

describe('a guest that does not reload its watchdog', () => {
  it('ends its machine, and hears of it afterwards', async () => {
    const { machine, runOn } = machineOf()
    machine.boot({ kernel: await kernelOf(WATCHDOG), commandLine: '' })
    expect(runOn(95)).toEqual({ state: 'running' })
    expect(runOn(20)).toEqual({ state: 'ended', reason: 'watchdog' })
    machine.reset()
    expect(machine.platform.watchdog.readPort(1, 1)).toBe(1)
    machine.reset()
    expect(machine.platform.watchdog.readPort(1, 1)).toBe(0)
  })
})
