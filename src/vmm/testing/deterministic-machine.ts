import type { CpuModel } from '../../cpu/system/cpu-model.ts'
import { Machine } from '../machine.ts'
import type { MachineSnapshot } from '../snapshot/snapshot.ts'

/** Virtual nanoseconds that an instruction takes. */
const NANOSECONDS = 1
const START = Date.UTC(2024, 1, 29, 12)

/** A machine, and where its source of random numbers was. */
export interface SavedGuest { readonly snapshot: MachineSnapshot, readonly random: number }

/**
 * A machine whose runs can be repeated: time stands still within a slice and passes between slices, one nanosecond an instruction;
 * what a halted machine waits for comes at once.
 */
export class DeterministicMachine {
  readonly machine: Machine
  /** What the guest sent to COM1. */
  console = ''
  private readonly memory: number
  private readonly engine: WebAssembly.Module
  private readonly cpu: CpuModel | undefined
  private readonly input: number[] = []
  private hostTime = 0
  private random = 1

  constructor(memory: number, engine: WebAssembly.Module, cpu?: CpuModel) {
    this.memory = memory
    this.engine = engine
    this.cpu = cpu
    this.machine = new Machine({
      memory, engine, cpu,
      serial: [{ transmit: (byte) => this.transmit(byte), receive: () => this.input.shift() ?? -1 }],
      hostNow: () => this.hostTime,
      wallClock: () => START,
      random: () => this.random = Math.imul(this.random, 0x41c64e6d) + 12345 >>> 0,
    })
  }

  save(): SavedGuest { return { snapshot: this.machine.save(), random: this.random } }

  /** Another machine that goes on from what one of this kind was. Input that was typed and not taken is lost. */
  successor({ snapshot, random }: SavedGuest): DeterministicMachine {
    const copy = new DeterministicMachine(this.memory, this.engine, this.cpu)
    copy.machine.restore(snapshot)
    copy.random = random
    return copy
  }

  /** Runs one slice up to `end` instructions since the machine was made. False: it has ended, or waits for ever. */
  runTo(end: number): boolean {
    const { machine } = this
    while (machine.retired < end) {
      const before = machine.retired
      const outcome = machine.runExactly(end - before)
      this.hostTime += (machine.retired - before) * NANOSECONDS
      if (outcome.state === 'ended') return false
      if (outcome.state === 'halted') {
        if (outcome.wakeAt === Infinity) return false
        this.hostTime += Math.max(0, outcome.wakeAt - machine.clock.now())
      }
    }
    return true
  }

  /** Types at COM1. */
  type(text: string): void {
    for (const character of text) this.input.push(character.charCodeAt(0))
    this.machine.serial[0].receiveReady()
  }

  private transmit(byte: number): boolean {
    this.console += String.fromCharCode(byte)
    return true
  }
}
