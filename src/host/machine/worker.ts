/** The thread of one machine: builds it from the order it is started with, runs it, and says how it ended. */
import { randomFillSync } from 'node:crypto'
import { writeSync } from 'node:fs'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { ImmediateCompiler } from '../../cpu/translator/compiler.ts'
import { openKernel } from '../../vmm/boot/kernel-image.ts'
import { Lockstep } from '../../vmm/lockstep/lockstep.ts'
import { Machine } from '../../vmm/machine.ts'
import type { PanicOutcome } from '../../vmm/machine.ts'
import type { GuestPanic } from '../../devices/panic/pvpanic.ts'
import { DiskChannel } from '../disks/disk-channel.ts'
import { DiskQueue } from '../disks/disk-queue.ts'
import { ShareChannel } from '../shares/share-channel.ts'
import { ShareQueue } from '../shares/share-queue.ts'
import { KERNEL_DECOMPRESSORS } from '../images/decompress.ts'
import { MachineChannel } from './channel.ts'
import type { ControlOrder } from './control-protocol.ts'
import { modelFeatures } from './cpu-models.ts'
import { loadEngine } from './engine-file.ts'
import { freeBuffers } from './free-buffers.ts'
import { HostClock } from './host-clock.ts'
import { onBus, paravirtualDisks } from './machine-disks.ts'
import { CONNECTED, LineBackend } from './line-backend.ts'
import { ParavirtualDevices } from './paravirtual-devices.ts'
import { MachineControl } from './machine-control.ts'
import type { MachineControlParts } from './machine-control.ts'
import { runUntilEnd } from './run-loop.ts'
import type { RunLoopParts } from './run-loop.ts'
import type { MachineExit } from './machine-exit.ts'
import { readSnapshotFile } from './snapshot-file.ts'
import { WorkerCompiler } from './worker-compiler.ts'
import type { WorkerMessage, WorkerOrder } from './worker-protocol.ts'

const say = (message: WorkerMessage): void => parentPort!.postMessage(message, [])

try {
  const parts = await build(workerData as WorkerOrder)
  say({ kind: 'started' })
  say({ kind: 'exit', exit: run(parts) })
} catch (error) {
  say({ kind: 'refused', ...explain(error) })
}

async function build(order: WorkerOrder): Promise<RunLoopParts> {
  const channel = new MachineChannel(order.channel)
  const serial = order.owned.map((isOwned, line) => (isOwned ? new LineBackend(channel, line) : undefined))
  const devices = new ParavirtualDevices(channel, order, statistics => say({ kind: 'memory', statistics }))
  const hostClock = new HostClock()
  const disks = order.disks && new DiskQueue(new DiskChannel(order.disks.memory), order.disks.infos)
  const shares = order.shares && new ShareQueue(new ShareChannel(order.shares.memory), order.shares.infos)
  const silent = { transmit: () => true, receive: () => -1 }
  const common = {
    memory: order.memoryBytes, cpu: order.cpu, engine: loadEngine(), serial: serial.map(line => line ?? silent), hostNow: hostClock.now,
  }
  const machine = order.lockstep
    ? new Lockstep({ ...common, startTime: Date.now(), compiler: () => new ImmediateCompiler(modelFeatures(order.cpu)) })
    : new Machine({
      ...common, compiler: order.compiler && new WorkerCompiler(order.compiler), disks: onBus(disks, 'nvme'),
      virtio: { ...devices.config, ...paravirtualDisks(disks), fileSystems: shares?.shares },
      wallClock: Date.now, random: randomWord,
      panicked: panic => afterPanic(panic, order),
    })
  serial.forEach((line, index) => line?.connect(machine.serial[index]))
  if (machine instanceof Machine) {
    devices.connect(machine.platform.virtio)
    for (const port of [order.disks?.port, order.shares?.port]) port?.postMessage(machine.frames.pool.buffer, [])
  }
  if (machine instanceof Machine && order.snapshot !== undefined) restore(machine, order.snapshot)
  else await boot(machine, order)
  const lines = [...serial.filter(line => line !== undefined), ...machine instanceof Machine ? devices.lines : []]
  const deviceControls = machine instanceof Machine ? devices.controls : undefined
  const control = machine instanceof Machine ? controlOf(machine, order, { channel, disks, shares }) : undefined
  return { machine, channel, lines, devices: deviceControls, disks, shares, control, cards: devices.cards, streams: devices.streams, hostClock, notify: () => say({ kind: 'notice' }) }
}

function afterPanic(panic: GuestPanic, order: WorkerOrder): PanicOutcome {
  say({ kind: 'panic', panic })
  return panic === 'crash-kernel' ? 'go-on' : order.afterPanic
}

function controlOf(
  machine: Machine, order: WorkerOrder, parts: Pick<MachineControlParts, 'channel' | 'disks' | 'shares'>,
): MachineControl | undefined {
  const { control } = order
  return control && new MachineControl({
    ...parts, machine, explain,
    receive: () => receiveMessageOnPort(control)?.message as ControlOrder | undefined,
    answer: (number, problem) => say({ kind: 'answer', number, problem }),
  })
}

/** The host's ends of the lines are new: nobody is held back, and nothing of what a UART had to send was refused yet. */
function restore(machine: Machine, snapshot: string): void {
  machine.decode(readSnapshotFile(snapshot))
  for (const port of machine.serial) {
    port.setModemInputs(CONNECTED)
    port.transmitReady()
    port.receiveReady()
  }
  // The switch is another, and does not know where the guest is.
  for (const card of machine.platform.virtio.network) card.announce()
}

async function boot(machine: Machine | Lockstep, order: WorkerOrder): Promise<void> {
  const { kernel, initrd } = order.files!
  delete order.files
  const opened = await openKernel(kernel, KERNEL_DECOMPRESSORS)
  machine.boot({ kernel: opened, commandLine: order.commandLine, initrd })
  await freeBuffers([kernel, initrd, opened.file, opened.elf?.file].flatMap(bytes => bytes?.buffer ?? []))
}

function run(parts: RunLoopParts): MachineExit {
  try {
    return runUntilEnd(parts)
  } catch (error) {
    const { code, message } = explain(error)
    const detail = code === 'LOCKSTEP_DIVERGED' ? message : `${code}: ${message}; ${parts.machine.describe()}`
    return { reason: 'failed', code, detail }
  }
}

/** An error as its user sees it. With TENON_DEBUG set, its stack goes to stderr. */
function explain(error: unknown): { code: string, message: string } {
  if (process.env.TENON_DEBUG) writeSync(2, `${(error as Error).stack}\n`)
  if (error instanceof TenonError) return { code: error.code, message: error.message }
  return { code: 'MACHINE_FAILED', message: `${String(error)} (a fault of Tenon: please report it)` }
}

function randomWord(): number {
  return randomFillSync(new Uint32Array(1))[0]
}
