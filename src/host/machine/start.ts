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
import { ShareThread } from '../shares/share-thread.ts'
import { VsockThread } from '../vsock/vsock-thread.ts'
import { HostBalloon } from './host-balloon.ts'
import { HostLine } from './host-line.ts'
import { planLines } from './line-plan.ts'
import { WorkerSnapshots } from './machine-snapshots.ts'
import type { LinePlan } from './line-plan.ts'
import type { MachineExit } from './machine-exit.ts'
import type { ConsoleLine, MachineOptions, MachineSession, PortOwner, ResumeMachine, ResumeOptions, StartMachine } from './session.ts'
import type { MachineStatistics } from './statistics.ts'
import type { CompileOrder } from './compile-protocol.ts'
import type { WorkerMessage, WorkerOrder } from './worker-protocol.ts'

/** A pool is one WebAssembly memory of 4 GiB at most, of which the machine itself needs some. */
const MAXIMUM_MEMORY = 4000 * 1024 ** 2

/** Starts a machine on a thread of its own. */
export const startMachine: StartMachine = options => launch(options)

/** Has a machine go on from a snapshot, on a thread of its own. */
export const resumeMachine: ResumeMachine = options => launch(options)

type Options = MachineOptions | ResumeOptions

async function launch(options: Options): Promise<MachineSession> {
  options.signal?.throwIfAborted()
  if (options.memoryBytes > MAXIMUM_MEMORY) {
    throw hostError('MEMORY_TOO_LARGE', `a guest can have ${MAXIMUM_MEMORY / 1024 ** 2} MiB of memory at most, and ${options.memoryBytes / 1024 ** 2} MiB are asked for`)
  }
  const cpu = cpuModel(options.cpu)
  const plan = planLines(options.console !== undefined, options.ports?.length ?? 0)
  const channel = new MachineChannel(plan.count)
  const servers = await startServers(options, channel)
  const lockstep = inLockstep(options)
  const compiler = translates(options.engine) && !lockstep ? startCompiler(modelFeatures(cpu)) : undefined
  const control = lockstep ? undefined : new MessageChannel()
  const worker = startWorker(options, channel, { compiler: compiler?.port, control: control?.port1 }, servers)
  const snapshots = control && new WorkerSnapshots(control.port2, channel, servers)
  const session = new WorkerSession({ worker, compiler: compiler?.worker, servers }, channel, plan, options, snapshots)
  try {
    await session.started
  } catch (error) {
    // Its disks may be opened again then.
    await session.exited
    throw error
  }
  return session
}

/** Threads that serve the guest's requests. */
interface Servers {
  readonly disks: AttachedDisks | undefined
  readonly shares: ShareThread | undefined
  readonly cards: AttachedCards | undefined
  readonly vsock: VsockThread | undefined
}

/** All or none. */
async function startServers(options: Options, channel: MachineChannel): Promise<Servers> {
  const { shares, disks, keptDisks, guest, network, vsock, signal, onDiskFailure = warn } = options
  const servers: { -readonly [Name in keyof Servers]: Servers[Name] } = { disks: undefined, shares: undefined, cards: undefined, vsock: undefined }
  try {
    if (shares?.length) servers.shares = await ShareThread.start(shares, channel, onDiskFailure)
    servers.disks = await attachDisks(keptDisks ?? disks, channel, onDiskFailure, guest)
    servers.cards = network && await AttachedCards.attach(network, channel.memory)
    servers.vsock = vsock && await VsockThread.start(vsock, channel, onDiskFailure)
    signal?.throwIfAborted()
    return servers
  } catch (error) {
    await endServers(servers)
    throw error
  }
}

async function endServers({ disks, shares, cards, vsock }: Servers): Promise<void> {
  await Promise.all([disks?.close(), shares?.close(), cards?.detach(), vsock?.close()])
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

function inLockstep(options: Options): boolean { return !('snapshot' in options) && options.lockstep === true }

function startWorker(options: Options, channel: MachineChannel, ways: Pick<WorkerOrder, 'compiler' | 'control'>, { disks, shares, cards, vsock }: Servers): Worker {
  const source = sourceOf(options)
  const order: WorkerOrder = {
    channel: channel.memory, memoryBytes: options.memoryBytes, cpu: cpuModel(options.cpu), ...source, ...ways, lockstep: inLockstep(options),
    disks: disks?.forMachine, shares: shares?.forMachine, cards: cards?.forMachine ?? [], vsock: vsock?.forMachine, afterPanic: options.afterPanic ?? 'end',
    owned: Array.from({ length: SERIAL_LINES }, (_, line) => options.serial[line] !== undefined),
    console: options.console !== undefined, ports: (options.ports ?? []).map(({ name }) => name),
  }
  const buffers = [source.files?.kernel, source.files?.initrd].flatMap(bytes => (bytes === undefined ? [] : [bytes.buffer as ArrayBuffer]))
  const transferList = [...buffers, ...[ways.compiler, ways.control, disks?.forMachine.port, shares?.forMachine.port].filter(port => port !== undefined)]
  // Flags that Node was started with, such as --import, are for the main thread.
  return new Worker(new URL('./worker.js', import.meta.url), { name: 'tenon-machine', workerData: order, transferList, execArgv: [] })
}

/** What the machine begins with: a kernel, or a snapshot. */
function sourceOf(options: Options): Pick<WorkerOrder, 'commandLine' | 'files' | 'snapshot'> {
  if ('snapshot' in options) return { commandLine: '', files: undefined, snapshot: options.snapshot }
  const files = { kernel: ownBytes(options.kernel), initrd: options.initrd && ownBytes(options.initrd) }
  return { commandLine: options.commandLine, files, snapshot: undefined }
}

/** The array, or a copy where others have a part in its memory: only a whole buffer can be given away. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes)
}

/** By line of the channel. */
function ownersOf({ serial, console, ports = [] }: Options, { count }: LinePlan): (PortOwner | undefined)[] {
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
  readonly servers: Servers
}

class WorkerSession implements MachineSession {
  readonly serial: readonly HostLine[]
  readonly ports: readonly HostLine[]
  readonly console: ConsoleLine | undefined
  readonly balloon: HostBalloon | undefined
  readonly exited: Promise<MachineExit>
  readonly snapshots: WorkerSnapshots | undefined
  readonly diskSnapshots: MachineSession['diskSnapshots']
  /** Rejects if the machine could not be built. */
  readonly started: Promise<void>
  /** All of them, in the channel's order. */
  readonly #lines: readonly HostLine[]
  readonly #threads: Threads
  readonly #channel: MachineChannel
  readonly #signal: AbortSignal | undefined
  readonly #onPanic: MachineOptions['onPanic']
  #settleStart!: { resolve(): void, reject(error: unknown): void }
  #resolveExit!: (exit: MachineExit) => void
  #end: MachineExit | undefined
  readonly #kill = (): void => this.kill()

  constructor(threads: Threads, channel: MachineChannel, plan: LinePlan, options: Options, snapshots: WorkerSnapshots | undefined) {
    const { worker, compiler } = threads
    this.snapshots = snapshots
    const { disks } = threads.servers
    this.diskSnapshots = disks && (request => disks.snapshots(request))
    this.#threads = threads
    // Without it the guest is interpreted, and goes on.
    compiler?.on('error', () => {})
    this.#channel = channel
    this.#signal = options.signal
    this.#onPanic = options.onPanic
    this.#lines = ownersOf(options, plan).map((owner, line) => new HostLine(channel, line, owner, () => this.#finishIfDrained()))
    this.serial = this.#lines.slice(0, SERIAL_LINES)
    this.ports = plan.ports.map(line => this.#lines[line])
    this.console = plan.console === undefined ? undefined : consoleLine(this.#lines[plan.console], channel)
    this.balloon = inLockstep(options) ? undefined : new HostBalloon(channel)
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
      case 'panic':
        return this.#onPanic?.(message.panic)
      case 'answer':
        return this.snapshots?.answered(message.number, message.problem)
      case 'exit':
        this.#end = message.exit
        this.snapshots?.end()
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
    this.snapshots?.end()
    void this.#endThreads().then(() => this.#resolveExit(exit))
  }

  /** The machine's thread ends within one slice, whether or not it still runs; the others when what they serve is closed. */
  async #endThreads(): Promise<void> {
    const { worker, compiler, servers } = this.#threads
    await Promise.all([worker.terminate(), compiler?.terminate()])
    await endServers(servers)
  }
}
