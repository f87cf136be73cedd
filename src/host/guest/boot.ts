import type { Writable } from 'node:stream'
import { hostError } from '../errors.ts'
import type { CpuModel } from '../machine/cpu-models.ts'
import type { DiskFailureListener, DiskOrder } from '../disks/disk-order.ts'
import type { GuestShare } from '../shares/guest-share.ts'
import type { VsockOrder } from '../vsock/vsock-order.ts'
import type { KeptDisks } from '../disks/kept-disks.ts'
import type { EngineName } from '../machine/engines.ts'
import type { MachineNetwork } from '../network/attached-cards.ts'
import type { MachineExit } from '../machine/machine-exit.ts'
import type { MachineSession, SerialLine, SerialOwner, StartMachine } from '../machine/session.ts'
import { ByteSource } from './byte-source.ts'
import { ConsoleLog } from './console-log.ts'

/** What every guest has, whatever it boots. */
export interface GuestOptions {
  readonly startMachine: StartMachine
  readonly memoryBytes: number
  readonly cpu?: CpuModel
  readonly engine?: EngineName
  readonly lockstep?: boolean
  readonly disks?: readonly DiskOrder[]
  /** Folders of the host; a guest of an image has them where it mounts them. */
  readonly shares?: readonly GuestShare[]
  /** Streams between programs of the guest and the host. */
  readonly vsock?: VsockOrder
  /** In place of `disks`: those that outlive the machine. */
  readonly keptDisks?: KeptDisks
  readonly network?: MachineNetwork
  /** As `MachineOptions.onDiskFailure`. */
  readonly onDiskFailure?: DiskFailureListener
  /** Called with the machine once it runs. */
  readonly onMachine?: (machine: MachineSession) => void
  readonly signal?: AbortSignal
  /** How long the guest may take to say its first word; 0 or undefined for no limit. */
  readonly bootTimeoutMs?: number
}

/** A stream as the owner of a serial line: holds the guest back while it is full. What comes for a closed stream is dropped. */
export class StreamOwner implements SerialOwner {
  readonly #stream: Writable
  readonly #line: () => SerialLine
  #room: Promise<void> | undefined

  /** `line` is the line whose owner this is, once there is a machine. */
  constructor(stream: Writable, line: () => SerialLine) {
    this.#stream = stream
    this.#line = line
  }

  receive(bytes: Uint8Array): boolean {
    if (this.#stream.destroyed || this.#stream.write(Buffer.from(bytes))) return true
    this.#room = this.#waitForRoom()
    return false
  }

  /** Resolves when the stream has room for more: it then has all that came. */
  async drained(): Promise<void> {
    while (this.#room !== undefined) await this.#room
  }

  async #waitForRoom(): Promise<void> {
    await new Promise<void>(resolve => {
      this.#stream.once('drain', resolve)
      this.#stream.once('close', resolve)
    })
    this.#room = undefined
    this.#line().resume()
  }
}

/** Gives a stream's bytes to a serial line until the stream or the machine ends, as fast as the guest takes them. */
export function feedLine(input: AsyncIterable<Uint8Array | string>, session: MachineSession, line: number): Promise<void> {
  return feedLines(input, () => session.serial[line])
}

/** As `feedLine`, to whichever line `current` gives at each piece: machines follow each other when a guest reboots. */
export async function feedLines(input: AsyncIterable<Uint8Array | string>, current: () => SerialLine): Promise<void> {
  const PIECE = 4096
  const source = new ByteSource(input)
  for (let piece = await source.next(PIECE); piece.length > 0; piece = await source.next(PIECE)) await current().write(piece)
}

/** Kills a machine that does not speak in time. `spoke` calls it off; `missed` is the time in milliseconds that was not enough. */
export function bootDeadline(session: MachineSession, milliseconds: number | undefined): { spoke(): void, readonly missed: number | undefined } {
  let missed: number | undefined
  const timer = milliseconds ? setTimeout(() => {
    missed = milliseconds
    session.kill()
  }, milliseconds) : undefined
  void session.exited.then(() => clearTimeout(timer))
  return {
    spoke: () => clearTimeout(timer),
    get missed() { return missed },
  }
}

/** Throws what a machine's end means where it was not the guest's own orderly end. `bootMissed` is the deadline's `missed`. */
export function checkExit(exit: MachineExit, log: ConsoleLog, bootMissed: number | undefined, signal: AbortSignal | undefined): void {
  if (bootMissed !== undefined) {
    throw hostError('GUEST_BOOT_TIMEOUT', `the guest did not boot within ${bootMissed / 1000} s: its kernel's log shows how far it came (--verbose), `
      + 'and the time can be set (--boot-timeout)')
  }
  signal?.throwIfAborted()
  if (log.panic !== undefined) throw hostError('GUEST_PANIC', `the guest's kernel panicked: ${log.panic}: its log says more (--verbose)`)
  const where = exit.detail === '' ? '' : ` (${exit.detail})`
  if (exit.reason === 'panicked') throw hostError('GUEST_PANIC', `the guest's kernel panicked${where}: its log says more (--verbose)`)
  if (exit.reason === 'watchdog') throw hostError('GUEST_CRASHED', `the guest hung: it did not reload its watchdog in time${where}`)
  if (exit.code === 'LOCKSTEP_DIVERGED') throw hostError('LOCKSTEP_DIVERGED', exit.detail)
  if (exit.reason === 'failed') throw hostError('MACHINE_FAILED', `the virtual machine failed${where}: this is a fault of Tenon, please report it`)
  if (exit.reason === 'triple-fault') {
    throw hostError('GUEST_CRASHED', `the guest's processor shut down after a triple fault${where}: the kernel is damaged, or is not for this machine`)
  }
}
