import { writeFileSync } from 'node:fs'
import type { MachineExit } from '../../machine/machine-exit.ts'
import type { MachineOptions, MachineSession, MachineSnapshots, ResumeMachine, StartMachine } from '../../machine/session.ts'

/** A machine without a processor, whose end the test decides. */
export class FakeMachine implements MachineSession {
  readonly options: MachineOptions
  readonly exited: Promise<MachineExit>
  readonly serial: MachineSession['serial']
  readonly ports: MachineSession['ports']
  /** What was asked of them. */
  readonly asked: string[] = []
  /** What saving fails with. */
  saveFailure: Error | undefined
  readonly snapshots: MachineSnapshots = {
    pause: async () => void this.asked.push('pause'),
    resume: async () => void this.asked.push('resume'),
    save: async path => {
      this.asked.push('save')
      if (this.saveFailure !== undefined) throw this.saveFailure
      writeFileSync(path, 'SNAPSHOT')
    },
    shares: async () => [{ mounted: true, seen: 5n }],
    cards: async () => [{ lease: 1 }, { lease: 2 }],
  }
  /** What programs in the guest do with what comes by a port. */
  onPort: (bytes: Uint8Array) => void = () => {}
  /** What was typed. */
  typed = ''
  presses = 0
  #end!: (exit: MachineExit) => void

  constructor(options: MachineOptions, onPress: (machine: FakeMachine) => void) {
    this.options = options
    this.exited = new Promise(resolve => { this.#end = resolve })
    this.serial = [{ write: async bytes => void (this.typed += Buffer.from(bytes).toString()), resume() {} }]
    this.ports = options.ports?.map(() => ({ isOpen: true, write: async bytes => this.onPort(bytes), resume() {} }))
    this.powerButton = () => {
      this.presses++
      onPress(this)
    }
    options.signal?.addEventListener('abort', () => this.kill())
  }

  readonly powerButton: () => void

  kill(): void { this.end('killed') }

  say(text: string): void { this.options.serial[0].receive(Buffer.from(text)) }

  end(reason: MachineExit['reason'], detail = ''): void { this.#end({ reason, detail }) }
}

/** Machines as they are started, in order. */
export class FakeMachines {
  readonly started: FakeMachine[] = []
  /** What the power button does; nothing if absent. */
  onPress: (machine: FakeMachine) => void = () => {}
  /** Makes the next starts fail. */
  failure: Error | undefined
  #waiting: (() => void)[] = []

  readonly start: StartMachine = async options => {
    await Promise.resolve()
    options.signal?.throwIfAborted()
    if (this.failure !== undefined) throw this.failure
    const machine = new FakeMachine(options, pressed => this.onPress(pressed))
    this.started.push(machine)
    this.#waiting.splice(0).forEach(wake => wake())
    return machine
  }

  /** They have no kernel. */
  readonly resume: ResumeMachine = options => this.start({ ...options, kernel: new Uint8Array(), commandLine: `goes on from ${options.snapshot}` })

  /** The machine of this number, from 0, once it is started. */
  async at(index: number): Promise<FakeMachine> {
    while (this.started.length <= index) await new Promise<void>(resolve => this.#waiting.push(resolve))
    return this.started[index]
  }
}
