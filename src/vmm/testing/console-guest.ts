import { ImmediateCompiler } from '../../cpu/translator/compiler.ts'
import { cpuModel, modelFeatures } from '../../cpu/system/cpu-model.ts'
import { Machine } from '../machine.ts'
import type { MachineConfig } from '../machine.ts'

/** Instructions of a slice. */
const SLICE = 200_000
const SLICES_A_TURN = 500

/**
 * A guest on the test's own thread that is talked to over COM1. What the host does between slices is the test's: `between` is called
 * after each.
 */
export class ConsoleGuest {
  readonly machine: Machine
  console = ''
  between: () => void = () => undefined
  private readonly input: number[] = []
  private random = 1

  constructor(config: Pick<MachineConfig, 'memory' | 'engine'> & Partial<MachineConfig>) {
    this.machine = new Machine({
      serial: [{ transmit: (byte) => this.transmit(byte), receive: () => this.input.shift() ?? -1 }],
      compiler: new ImmediateCompiler(modelFeatures(cpuModel(config.cpu))),
      hostNow: () => performance.now() * 1e6, wallClock: Date.now,
      random: () => this.random = Math.imul(this.random, 0x41c64e6d) + 12345 >>> 0,
      ...config,
    })
  }

  /** Runs until the console satisfies `enough`. Rejects if the guest ends before, or the time runs out. */
  async runUntil(enough: (console: string) => boolean, milliseconds = 300_000): Promise<void> {
    const end = performance.now() + milliseconds
    for (let slice = 0; !enough(this.console); slice++) {
      // The test's worker must come to speak with Vitest.
      if (slice % SLICES_A_TURN === 0) await new Promise((resolve) => { setImmediate(resolve) })
      const outcome = this.machine.run(SLICE)
      this.between()
      if (outcome.state === 'ended' || performance.now() > end) throw new Error(`the guest stopped:\n${this.console.slice(-3000)}`)
    }
  }

  /** Types a command at the shell and gives what it printed. Rejects if it fails. */
  async command(text: string, milliseconds?: number): Promise<string> {
    const from = this.console.length
    this.type(`echo BEGIN""OF; ${text}; echo END""OF $?\n`)
    await this.runUntil((console) => /ENDOF \d+\r\n/.test(console.slice(from)), milliseconds)
    const [, output, status] = /BEGINOF\r\n([^]*)ENDOF (\d+)/.exec(this.console.slice(from))!
    if (status !== '0') throw new Error(`'${text}' ended with status ${status}:\n${output}`)
    return output.replaceAll('\r', '')
  }

  type(text: string): void {
    for (const character of text) this.input.push(character.charCodeAt(0))
    this.machine.serial[0].receiveReady()
  }

  private transmit(byte: number): boolean {
    this.console += String.fromCharCode(byte)
    return true
  }
}
