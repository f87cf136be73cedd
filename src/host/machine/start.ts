import { MessageChannel, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { hostError } from '../errors.ts'
import { cpuModel, modelFeatures } from './cpu-models.ts'
import { Bell, MachineChannel, SERIAL_LINES } from './channel.ts'
import { translates } from './engines.ts'
import { attachDisks } from '../disks/attached-disks.ts'
import type { AttachedDisks } from '../disks/attached-disks.ts'
import { AttachedCards } from '../network/attached-cards.ts'
import { HostBalloon } from './host-balloon.ts'
import { HostLine } from './host-line.ts'
import { planLines } from './line-plan.ts'
import type { LinePlan } from './line-plan.ts'
import type { ConsoleLine, MachineExit, MachineOptions, MachineSession, PortOwner, StartMachine } from './session.ts'
import type { MachineStatistics } from './statistics.ts'
import type { CompileOrder } from './compile-protocol.ts'
import type { WorkerMessage, WorkerOrder } from './worker-protocol.ts'

/** A pool is one WebAssembly memory of 4 GiB at most, of which the machine itself needs some. */
const MAXIMUM_MEMORY = 4000 * 1024 ** 2

/** Starts a machine on a thread of its own. */
export const startMachine: StartMachine = async options => {
  options.signal?.throwIfAborted()
  if (options.memoryBytes > MAXIMUM_MEMORY) {
    throw hostError('MEMORY_TOO_LARGE', `a guest can have ${MAXIMUM_MEMORY / 1024 ** 2} MiB of memory at most, and ${options.memoryBytes / 1024 ** 2} MiB are asked for`)
  }
  const cpu = cpuModel(options.cpu)
  const plan = planLines(options.console !== undefined, options.ports?.length ?? 0)
  const channel = new MachineChannel(plan.count)
  const disks = await attachDisks(options.keptDisks ?? options.disks, channel, options.onDiskFailure ?? warn)
  const cards = await attachCards(options, channel, disks)
  if (options.signal?.aborted) {
    await Promise.all([disks?.close(), cards?.detach()])
    options.signal.throwIfAborted()
  }
  const compiler = translates(options.engine) && options.lockstep !== true ? startCompiler(modelFeatures(cpu)) : undefined
  const worker = startWorker(options, channel, compiler?.port, disks, cards)
  const session = new WorkerSession({ worker, compiler: compiler?.worker, disks, cards }, channel, plan, options)
  try {
    await session.started
  } catch (error) {
    // Its disks may be opened again then.
    await session.exited
    throw error
  }
  return session
}

async function attachCards({ network }: MachineOptions, channel: MachineChannel, disks: AttachedDisks | undefined): Promise<AttachedCards | undefined> {
  try {
    return network && await AttachedCards.attach(network, channel.memory)
  } catch (error) {
    await disks?.close()
    throw error
  }
}

function warn(error: TenonError): void { process.emitWarning(error.message, { code: error.code }) }

/** Starts the thread that translates hot code, and gives the port that leads there. */
function startCompiler(features: ReadonlySet<string>): { readonly worker: Worker, readonly port: MessagePort } {
  const { port1, port2 } = new MessageChannel()
  const order: CompileOrder = { port: port1, features: [...features] }
  const worker = new Worker(new URL('./compile-worker.js', import.meta.url), {
    name: 'tenon-compiler', workerData: order, transferList: [port1], execArgv: [],
    // What it makes lives for milliseconds; V8 would rather take more memory than collect it.
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  })
  return { worker, port: port2 }
}

function startWorker(
  options: MachineOptions, channel: MachineChannel, compiler: MessagePort | undefined, disks: AttachedDisks | undefined,
  cards: AttachedCards | undefined,
): Worker {
  const files = { kernel: ownBytes(options.kernel), initrd: options.initrd && ownBytes(options.initrd) }
  const order: WorkerOrder = {
    channel: channel.memory, memoryBytes: options.memoryBytes, cpu: cpuModel(options.cpu), commandLine: options.commandLine, files,
    compiler, lockstep: options.lockstep === true, disks: disks?.forMachine, cards: cards?.forMachine ?? [],
    owned: Array.from({ length: SERIAL_LINES }, (_, line) => options.serial[line] !== undefined),
    console: options.console !== undefined, ports: (options.ports ?? []).map(({ name }) => name),
  }
  const buffers = [files.kernel, files.initrd].flatMap(bytes => (bytes === undefined ? [] : [bytes.buffer as ArrayBuffer]))
  const transferList = [...buffers, ...[compiler, disks?.forMachine.port].filter(port => port !== undefined)]
  // Flags that Node was started with, such as --import, are for the main thread.
  return new Worker(new URL('./worker.js', import.meta.url), { name: 'tenon-machine', workerData: order, transferList, execArgv: [] })
}

/** The array, or a copy where others have a part in its memory: only a whole buffer can be given away. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes)
}

/** By line of the channel. */
function ownersOf({ serial, console, ports = [] }: MachineOptions, { count }: LinePlan): (PortOwner | undefined)[] {
  const virtual = [...console === undefined ? [] : [console], ...ports.map(({ owner }) => owner)]
  return Array.from({ length: count }, (_, line) => (line < SERIAL_LINES ? serial[line] : virtual[line - SERIAL_LINES]))
}

function consoleLine(line: HostLine, channel: MachineChannel): ConsoleLine {
  return {
    write: bytes => line.write(bytes),
    resume: () => line.resume(),
    resize(columns, rows) {
      channel.consoleSize = { columns, rows }
      channel.ring(Bell.CONTROL)
    },
  }
}

interface Threads {
  readonly worker: Worker
  readonly compiler: Worker | undefined
  readonly disks: AttachedDisks | undefined
  readonly cards: AttachedCards | undefined
}

class WorkerSession implements MachineSession {
  readonly serial: readonly HostLine[]
  readonly ports: readonly HostLine[]
  readonly console: ConsoleLine | undefined
  readonly balloon: HostBalloon | undefined
  readonly exited: Promise<MachineExit>
  /** Rejects if the machine could not be built. */
  readonly started: Promise<void>
  /** All of them, in the channel's order. */
  readonly #lines: readonly HostLine[]
  readonly #threads: Threads
  readonly #channel: MachineChannel
  readonly #signal: AbortSignal | undefined
  #settleStart!: { resolve(): void, reject(error: unknown): void }
  #resolveExit!: (exit: MachineExit) => void
  #end: MachineExit | undefined
  readonly #kill = (): void => this.kill()

  constructor(threads: Threads, channel: MachineChannel, plan: LinePlan, options: MachineOptions) {
    const { worker, compiler } = threads
    this.#threads = threads
    // Without it the guest is interpreted, and goes on.
    compiler?.on('error', () => {})
    this.#channel = channel
    this.#signal = options.signal
    this.#lines = ownersOf(options, plan).map((owner, line) => new HostLine(channel, line, owner, () => this.#finishIfDrained()))
    this.serial = this.#lines.slice(0, SERIAL_LINES)
    this.ports = plan.ports.map(line => this.#lines[line])
    this.console = plan.console === undefined ? undefined : consoleLine(this.#lines[plan.console], channel)
    this.balloon = options.lockstep === true ? undefined : new HostBalloon(channel)
    this.started = new Promise((resolve, reject) => { this.#settleStart = { resolve, reject } })
    this.exited = new Promise(resolve => { this.#resolveExit = resolve })
    worker.on('message', (message: WorkerMessage) => this.#receive(message))
    worker.on('error', (error: NodeJS.ErrnoException) => this.#break(`${error.code ?? error.name}: ${error.message}`))
    worker.on('exit', status => this.#break(`its thread ended with status ${status}`))
    options.signal?.addEventListener('abort', this.#kill)
  }

  get statistics(): MachineStatistics {
    return this.#channel.statistics.read()
  }

  get instructions(): number {
    return this.#channel.instructions
  }

  powerButton(): void {
    this.#channel.ring(Bell.POWER_BUTTON)
  }

  kill(): void {
    this.#settleStart.reject(this.#signal?.reason ?? new Error('killed'))
    this.#finish(this.#end ?? { reason: 'killed', detail: '' })
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'started':
        return this.#settleStart.resolve()
      case 'refused':
        this.#settleStart.reject(new TenonError(message.code, message.message))
        return this.#finish({ reason: 'failed', detail: message.message })
      case 'memory':
        return this.balloon?.answered(message.statistics)
      case 'notice':
        this.#channel.noticeArrived()
        return this.#look()
      case 'exit':
        this.#end = message.exit
        this.#lines.forEach(line => line.deliver())
        return this.#finishIfDrained()
    }
  }

  /** What a guest sent on one line before it wrote to a later one, owners get before that: guests report the end of other lines on COM4. */
  #look(): void {
    const waiting = this.#lines.map(() => 0)
    for (let line = waiting.length - 1; line >= 0; line--) waiting[line] = this.#lines[line].waiting
    this.#lines.forEach((line, index) => line.look(waiting[index]))
  }

  #finishIfDrained(): void {
    if (this.#end !== undefined && this.#lines.every(line => line.isDrained)) this.#finish(this.#end)
  }

  /** The thread is gone without a last word. */
  #break(detail: string): void {
    if (this.#end !== undefined) return
    this.#settleStart.reject(hostError('MACHINE_FAILED', `the virtual machine failed (${detail}): this is a fault of Tenon, please report it`))
    this.#finish({ reason: 'failed', detail })
  }

  #finish(exit: MachineExit): void {
    this.#end = exit
    this.#signal?.removeEventListener('abort', this.#kill)
    this.#lines.forEach(line => line.end())
    this.balloon?.end()
    void this.#endThreads().then(() => this.#resolveExit(exit))
  }

  /** The machine's thread ends within one slice, whether or not it still runs; the disks' when they are closed. */
  async #endThreads(): Promise<void> {
    const { worker, compiler, disks, cards } = this.#threads
    await Promise.all([worker.terminate(), compiler?.terminate()])
    await Promise.all([disks?.close(), cards?.detach()])
  }
}
