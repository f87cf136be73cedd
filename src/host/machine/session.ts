/**
 * A running machine as its owner in the host sees it: its lines, a way to stop it, and how it ended. The machine itself runs on a thread
 * of its own; nothing here blocks.
 */
import type { BalloonStatistics } from '../../machine/balloon.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import type { GuestPanic } from '../../devices/panic/pvpanic.ts'
import type { CpuModel } from './cpu-models.ts'
import type { EngineName } from './engines.ts'
import type { DiskFailureListener, DiskOrder } from '../disks/disk-order.ts'
import type { SnapshotReport, SnapshotRequest } from '../disks/disk-snapshots.ts'
import type { ShareOrder } from '../shares/share-order.ts'
import type { KeptDisks } from '../disks/kept-disks.ts'
import type { MachineNetwork } from '../network/attached-cards.ts'
import type { VsockOrder } from '../vsock/vsock-order.ts'
import type { MachineExit } from './machine-exit.ts'
import type { MachineStatistics } from './statistics.ts'

/** Bytes of a serial line, both ways. Neither side may keep or change the array it is given. */
export interface SerialOwner {
  /**
   * Bytes from the guest. False asks for no more until `SerialLine.resume()`: the guest's UART then sees CTS fall. What is under way
   * may still come, a few kilobytes at most. Owners are called in the order of their lines: what a guest sent before it wrote to a later
   * line has come by then, if its owner took it.
   */
  receive(bytes: Uint8Array): boolean
}

export interface SerialLine {
  /** Gives bytes to the guest, in order. Resolves when the guest's UART has taken the last of them, or the machine has ended. */
  write(bytes: Uint8Array): Promise<void>
  /** Takes up reception after `SerialOwner.receive` returned false. */
  resume(): void
}

/** Who is at the host's end of a virtio console's port. */
export interface PortOwner extends SerialOwner {
  /** A program in the guest has opened or closed its end; at first it is closed, and in the end it is. What it sent before has come. */
  opened?(open: boolean): void
}

export interface PortLine extends SerialLine {
  /** Whether a program in the guest has its end open. What is written meanwhile waits for one. */
  readonly isOpen: boolean
}

/** A named port, for a program in the guest such as its agent (agent/). */
export interface PortOrder {
  /** The guest finds it as /dev/virtio-ports/NAME: 1 to 64 printable ASCII characters. */
  readonly name: string
  readonly owner: PortOwner
}

/** The virtio console, /dev/hvc0. */
export interface ConsoleLine extends SerialLine {
  /** The window that shows it has this size now; each 0 to 65535. */
  resize(columns: number, rows: number): void
}

/** What the host may ask of a guest's memory. */
export interface MemoryBalloon {
  /** Bytes that the guest has given back by the balloon. */
  readonly size: number
  /** Asks the guest to give back so many bytes in all, or to take back what is more. It does so when it can, if ever. */
  setTarget(bytes: number): void
  /** How the guest's memory is used; undefined if it has no driver that tells, or does not answer within some seconds. */
  statistics(): Promise<BalloonStatistics | undefined>
}

export interface MachineOptions {
  /** Bytes of RAM, a multiple of 1 MiB. */
  readonly memoryBytes: number
  /** Which features the processor has. Default: all that there are. */
  readonly cpu?: CpuModel
  /** How guest code is run. Default: auto. */
  readonly engine?: EngineName
  /** Have the interpreter check what translated code does; the machine fails with LOCKSTEP_DIVERGED at the first difference. */
  readonly lockstep?: boolean
  /**
   * A kernel's file: a bzImage, or a vmlinux with a PVH note. It and the initrd are given away: an array that has its buffer for itself
   * is empty afterwards.
   */
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
  readonly commandLine: string
  /** Owners of COM1 to COM4, in this order; a line without an owner drops what the guest sends. */
  readonly serial: readonly SerialOwner[]
  /** Ports of a virtio console for programs in the guest, 31 at most; not with `lockstep`. */
  readonly ports?: readonly PortOrder[]
  /** The owner of the virtio console hvc0; not with `lockstep`. The guest's kernel uses it where told so: `console=hvc0`. */
  readonly console?: SerialOwner
  /** Its disks, in order on each bus. They are opened before the machine starts, and closed before its end is reported. */
  readonly disks?: readonly DiskOrder[]
  /** The named guest whose machine it is: who finds one of its disks in use is told. */
  readonly guest?: string
  /** In place of `disks`: those that stay open for the next machine. */
  readonly keptDisks?: KeptDisks
  /** Its network cards, in order; not with `lockstep`. They are plugged in before the machine starts, and out before its end is reported. */
  readonly network?: MachineNetwork
  /** Folders of the host for the guest, 8 at most; not with `lockstep`. They are opened before the machine starts. */
  readonly shares?: readonly ShareOrder[]
  /**
   * Streams between programs of the guest and of the host (AF_VSOCK); not with `lockstep`. A snapshot fits a machine that has one if the
   * saved one had: its streams are over, and the guest hears that.
   */
  readonly vsock?: VsockOrder
  /** Told of what goes wrong with disks, shares and the vsock. Default: a warning of the process. */
  readonly onDiskFailure?: DiskFailureListener
  /** Told when the guest's kernel says that it has panicked (pvpanic). */
  readonly onPanic?: (panic: GuestPanic) => void
  /**
   * What comes of that. `end`, the default: the machine ends with reason `panicked`, unless the guest has a crash kernel that takes over.
   * `go-on`: the guest does what it is told to do after a panic.
   */
  readonly afterPanic?: 'end' | 'go-on'
  /** Aborting kills the machine: `exited` then resolves with reason `killed`. */
  readonly signal?: AbortSignal
}

/** What a snapshot goes on with: the same options as the machine that was saved, but for what it was booted from. */
export interface ResumeOptions extends Omit<MachineOptions, 'kernel' | 'initrd' | 'commandLine' | 'lockstep'> {
  /** A file that `MachineSnapshots.save` has written. Its disks must be as they were then: what is on them is not in it. */
  readonly snapshot: string
}

/**
 * Standing still, and being saved. Virtual time stands still meanwhile. What is asked for is done in order; it rejects with MACHINE_ENDED
 * if the machine ends before.
 */
export interface MachineSnapshots {
  /**
   * Resolves when the guest stands still, and its disks have carried out and flushed all that it asked for: they can be copied then.
   * Rejects with MACHINE_DISKS_BUSY, and the guest goes on, if a disk does not answer or cannot be flushed.
   */
  pause(): Promise<void>
  resume(): Promise<void>
  /**
   * Writes a snapshot to a file, which is there when this resolves, whole and on stable storage. A machine that was paused stays so, any
   * other goes on. Who wants to go on from the snapshot pauses first, saves, and kills: a guest that went on would change its disks.
   * Rejects as `pause`, and with SNAPSHOT_UNWRITABLE or SNAPSHOT_DISK_FULL; then the file is as before.
   *
   * Not in it: bytes that were written to a serial line and that the guest's UART has not taken.
   */
  save(path: string): Promise<void>
  /**
   * What the guest knows of its shares and has open, in their order: `ShareOrder.state` of the machine that goes on. The machine must be
   * paused. Rejects with SHARE_THREAD_FAILED.
   */
  shares(): Promise<readonly PlainData[]>
  /**
   * What the guest has by its cards, in their order: `CardOrder.standing` of the machine that goes on, whose guest keeps its addresses, and
   * hears that its connections are gone. The machine must be paused. Rejects with NETWORK_THREAD_FAILED.
   */
  cards(): Promise<readonly PlainData[]>
}

export interface MachineSession {
  /** COM1 to COM4. */
  readonly serial: readonly SerialLine[]
  /** As `MachineOptions.ports`. */
  readonly ports?: readonly PortLine[]
  /** If `MachineOptions.console` has an owner. */
  readonly console?: ConsoleLine
  /** Every machine has one, but for a pair in lockstep. */
  readonly balloon?: MemoryBalloon
  /**
   * Never rejects. Resolves after the last byte was given to the lines' owners; if the machine was killed, at once, and bytes that
   * an owner had no room for are dropped. Disks are flushed and closed by then, however it ended.
   */
  readonly exited: Promise<MachineExit>
  /** Guest instructions executed so far, where they are counted. */
  readonly instructions?: number
  /** What the machine has done so far, where that is known. */
  readonly statistics?: MachineStatistics
  /** Undefined for a machine that cannot be saved: one in lockstep. */
  readonly snapshots?: MachineSnapshots
  /**
   * Internal snapshots of its disks; undefined for a machine without any. Who wants all disks as they were at one moment pauses it first.
   * @throws TenonError as `snapshotDisks` (disks/disk-snapshots.ts), DISK_THREAD_FAILED.
   */
  diskSnapshots?(request: SnapshotRequest): Promise<SnapshotReport>
  /** Presses the ACPI power button. */
  powerButton(): void
  /** Stops at once; the guest is not asked. Has no effect on a machine that has ended. */
  kill(): void
}

/**
 * Builds a machine and starts it. Rejects with a TenonError if the kernel, the initrd, the memory size or a disk is unfit. The owners
 * of the serial lines hear nothing before it has resolved.
 */
export type StartMachine = (options: MachineOptions) => Promise<MachineSession>

/**
 * Builds a machine and has it go on from a snapshot. Rejects as StartMachine, and with SNAPSHOT_UNREADABLE, SNAPSHOT_INVALID (damaged),
 * SNAPSHOT_VERSION (of another Tenon) or SNAPSHOT_MISMATCH (of a machine with other options).
 */
export type ResumeMachine = (options: ResumeOptions) => Promise<MachineSession>
