import type { Writable } from 'node:stream'
import { hostError } from '../errors.ts'
import type { MachineExit, MachineSession, SerialOwner, StartMachine } from '../machine/session.ts'
import { ByteSource } from './byte-source.ts'
import { ConsoleLog } from './console-log.ts'

/** What every guest has, whatever it boots. */
export interface GuestOptions {
  readonly startMachine: StartMachine
  readonly memoryBytes: number
  readonly signal?: AbortSignal
  /** How long the guest may take to say its first word; 0 or undefined for no limit. */
  readonly bootTimeoutMs?: number
}

/** Gives a serial line's bytes to a stream, and holds the guest back while the stream is full. */
export function toStream(stream: Writable, line: () => { resume(): void }): SerialOwner {
  return {
    receive(bytes) {
      const hasRoom = stream.write(Buffer.from(bytes))
      if (!hasRoom) stream.once('drain', () => line().resume())
      return hasRoom
    },
  }
}

/** Gives a stream's bytes to a serial line until the stream or the machine ends, as fast as the guest takes them. */
export async function feedLine(input: AsyncIterable<Uint8Array | string>, session: MachineSession, line: number): Promise<void> {
  const PIECE = 4096
  const source = new ByteSource(input)
  for (let piece = await source.next(PIECE); piece.length > 0; piece = await source.next(PIECE)) {
    await session.serial[line].write(piece)
  }
}

/** Kills a machine that does not speak in time. `spoke` calls it off. */
export function bootDeadline(session: MachineSession, milliseconds: number | undefined): { spoke(): void, readonly missed: boolean } {
  let missed = false
  const timer = milliseconds ? setTimeout(() => {
    missed = true
    session.kill()
  }, milliseconds) : undefined
  void session.exited.then(() => clearTimeout(timer))
  return {
    spoke: () => clearTimeout(timer),
    get missed() { return missed },
  }
}

/** Throws what a machine's end means where it was not the guest's own orderly end. */
export function checkExit(exit: MachineExit, log: ConsoleLog, bootMissed: boolean, signal: AbortSignal | undefined): void {
  if (bootMissed) throw hostError('GUEST_BOOT_TIMEOUT', 'the guest did not boot in the time that --boot-timeout gives it: --verbose shows how far it came')
  signal?.throwIfAborted()
  if (log.panic !== undefined) throw hostError('GUEST_PANIC', `the guest's kernel panicked: ${log.panic}: --verbose shows its log`)
  const where = exit.detail === '' ? '' : ` (${exit.detail})`
  if (exit.reason === 'failed') throw hostError('MACHINE_FAILED', `the virtual machine failed${where}: this is a fault of Tenon, please report it`)
  if (exit.reason === 'triple-fault') {
    throw hostError('GUEST_CRASHED', `the guest's processor shut down after a triple fault${where}: the kernel is damaged, or is not for this machine`)
  }
}
