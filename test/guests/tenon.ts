/** Runs a guest in Tenon: a bare machine without firmware or kernel, entered in real mode. */
import { gpa } from '../../src/base/addresses.ts'
import { buildEngineFile } from '../../src/cpu/interpreter/build-engine.ts'
import type { Profile } from '../../src/cpu/interpreter/profile.ts'
import { Segment } from '../../src/cpu/state/layout.ts'
import { FEATURE_NAMES } from '../../src/cpu/system/cpuid.ts'
import { followState } from '../../src/cpu/system/reset.ts'
import { ImmediateCompiler } from '../../src/cpu/translator/compiler.ts'
import { Machine } from '../../src/vmm/machine.ts'
import { Place, Variable } from './layout.ts'
import type { Guest } from './monitor.ts'
import { decodeRecords } from './outcome.ts'
import type { Ending, Outcome } from './outcome.ts'

const BUDGET = 20_000
const MAXIMUM_SLICES = 4000
/** Port that ends a guest, as QEMU's isa-debug-exit, and one that takes bytes, as its debugcon. */
const EXIT_PORT = 0xf4
const BYTE_PORT = 0xe9

/** An engine of the given profile. */
export function engineModule(profile: Profile): WebAssembly.Module {
  return new WebAssembly.Module(buildEngineFile(profile).bytes as Uint8Array<ArrayBuffer>)
}

/** A machine with a guest in its memory, about to run. */
export class GuestRun {
  readonly machine: Machine
  /** Virtual time: a nanosecond an instruction, and HLT takes no time at all. */
  private time = 0
  private exited = false

  /** `translates`: whatever is executed for a second time is translated first. */
  constructor(guest: Guest, engine: WebAssembly.Module, image = guest.image, translates = false) {
    this.machine = new Machine({
      ...translates ? { compiler: new ImmediateCompiler(FEATURE_NAMES), translationThreshold: 1 } : {},
      memory: Place.MEMORY_END, engine, hostNow: () => this.time, wallClock: () => 1_700_000_000_000, random: () => 0x12345678,
    })
    const { ports } = this.machine.platform
    ports.attach(EXIT_PORT, 1, { readPort: () => 0, writePort: () => { this.exited = true; this.machine.vcpu.stop() } })
    ports.attach(BYTE_PORT, 1, { readPort: () => BYTE_PORT, writePort: (_, __, value) => guest.onByte?.(value, this.machine) })
    for (const { address, bytes } of image) this.machine.memory.write(gpa(address), bytes)
    this.enter()
  }

  /** Runs to the end, at most so many slices of BUDGET instructions. */
  finish(slices = MAXIMUM_SLICES): Ending {
    for (let slice = 0; slice < slices; slice++) {
      const outcome = this.machine.run(BUDGET)
      if (this.exited) return 'exit'
      if (outcome.state === 'ended') return outcome.reason === 'triple-fault' ? 'shutdown' : 'reset'
      if (outcome.state === 'running') this.time += BUDGET
      else if (outcome.wakeAt === Infinity) return 'halted'
      else this.time = Math.max(this.time, outcome.wakeAt)
    }
    return 'hung'
  }

  private enter(): void {
    const { processor } = this.machine.vcpu
    processor.state.setSegmentSelector(Segment.CS, 0)
    processor.state.setSegmentBase(Segment.CS, 0n)
    processor.state.rip = BigInt(Place.ENTRY)
    followState(processor)
  }
}

export function runInTenon(guest: Guest, engine: WebAssembly.Module, translates = false): Outcome {
  const run = new GuestRun(guest, engine, guest.image, translates)
  const ending = run.finish()
  const { memory } = run.machine
  const end = Number(memory.readU64(gpa(Variable.RESULT)))
  const length = guest.mode === 'real' ? end & 0xffff : Math.max(0, Math.min(end - guest.results, 0x400000))
  const bytes = new Uint8Array(length)
  memory.read(gpa(guest.results), bytes)
  return { ending, records: decodeRecords(bytes) }
}
