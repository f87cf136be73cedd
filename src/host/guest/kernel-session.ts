import type { Writable } from 'node:stream'
import { hostError } from '../errors.ts'
import { shareOrders } from '../shares/guest-share.ts'
import type { MachineExit } from '../machine/machine-exit.ts'
import type { MachineSession } from '../machine/session.ts'
import { bootDeadline, checkExit, feedLines, StreamOwner } from './boot.ts'
import type { GuestOptions } from './boot.ts'
import { ConsoleLog } from './console-log.ts'

/** A kernel of the user's own, with its console (COM1) on the given streams. */
export interface KernelSessionOptions extends GuestOptions {
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
  readonly commandLine: string
  readonly input: AsyncIterable<Uint8Array | string>
  readonly output: Writable
  /** Called at the console's first byte. */
  readonly onBooted?: () => void
}

/**
 * Runs until the guest ends. Resolves with how it did: it powered off, reset or halted. With disks that are kept, a reset is no end: it is
 * followed by another start. Throws TenonError GUEST_PANIC, GUEST_CRASHED, GUEST_BOOT_TIMEOUT or MACHINE_FAILED, and what startMachine
 * throws; rejects with the signal's reason when that aborts.
 */
export async function runKernel(options: KernelSessionOptions): Promise<MachineExit> {
  let session: MachineSession | undefined
  const starts = { ...options, onMachine: started }
  function started(machine: MachineSession): void {
    if (session === undefined) feedLines(options.input, () => session!.serial[0]).catch(() => {})
    session = machine
    options.onMachine?.(machine)
  }
  for (;;) {
    // The machine takes the kernel's bytes for itself, and the next one needs them too. (A Buffer's slice would be no copy.)
    const copy = (bytes: Uint8Array): Uint8Array => (options.keptDisks === undefined ? bytes : new Uint8Array(bytes))
    const exit = await runOnce({ ...starts, kernel: copy(options.kernel), initrd: options.initrd && copy(options.initrd) })
    if (exit.reason !== 'reset' || options.keptDisks === undefined) return exit
  }
}

/** From a start to the machine's end. */
async function runOnce(options: KernelSessionOptions): Promise<MachineExit> {
  const log = new ConsoleLog()
  let session: MachineSession
  let deadline: ReturnType<typeof bootDeadline>
  const screen = new StreamOwner(options.output, () => session.serial[0])
  const receive = (bytes: Uint8Array): boolean => {
    if (log.isEmpty) {
      deadline.spoke()
      options.onBooted?.()
    }
    log.append(bytes)
    return screen.receive(bytes)
  }
  const shares = options.shares && shareOrders(options.shares)
  session = await options.startMachine({ ...options, shares, serial: [{ receive }] })
  options.onMachine?.(session)
  deadline = bootDeadline(session, options.bootTimeoutMs)
  const exit = await session.exited
  checkExit(exit, log, deadline.missed, options.signal)
  // A kernel that halts says so first.
  if (exit.reason === 'halted' && log.isEmpty) {
    throw hostError('GUEST_CRASHED', `the guest halted its processor with interrupts disabled (${exit.detail}) and said nothing on its console: `
      + 'the kernel is damaged, or is not for this machine')
  }
  return exit
}
