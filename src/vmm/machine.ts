/**
 * One virtual machine: memory from a pool, a vCPU, and the PC around it.
 *
 *     created ──boot──▶ ready ──run──▶ ready | halted | ended(MachineEnd)
 *
 * `run` executes a slice on the caller's thread and comes back; what to do between slices (wait, poll the host, save) is the caller's
 * affair. Nothing here knows threads or wall-clock time.
 */
import type { EngineFigures } from '../cpu/interpreter/figures.ts'
import type { RegionCompiler } from '../cpu/translator/compiler.ts'
import type { BlockBackend } from '../machine/block.ts'
import type { GuestPanic } from '../devices/panic/pvpanic.ts'
import { FrameMap, HIGH_MEMORY_PAGE } from '../machine/frame-map.ts'
import type { Stateful } from '../machine/lifecycle.ts'
import { MappedMemory } from '../machine/mapped-memory.ts'
import { Pool } from '../machine/pool.ts'
import type { SerialBackend, SerialPort } from '../machine/serial.ts'
import { BLOCK_SIZE, Block, SLOT_SIZE, Segment, Slot } from '../cpu/state/layout.ts'
import { VcpuState } from '../cpu/state/vcpu-state.ts'
import { cpuModel, modelFeatures } from '../cpu/system/cpu-model.ts'
import type { CpuModel } from '../cpu/system/cpu-model.ts'
import { resetProcessor } from '../cpu/system/reset.ts'
import type { InitialState } from './boot/initial-state.ts'
import { loadKernel } from './boot/load.ts'
import type { KernelEntry } from './boot/load.ts'
import type { KernelImage } from './boot/kernel-image.ts'
import { installFirmware } from './firmware/firmware.ts'
import { applyInitialState } from './initial-registers.ts'
import { layoutMachine } from './layout.ts'
import type { MachineLayout } from './layout.ts'
import { MachineStanding } from './machine-standing.ts'
import type { MachineEnd } from './machine-standing.ts'
import { Platform } from './platform.ts'
import { snapshotError } from './snapshot/errors.ts'
import { SnapshotReader, encodeSnapshot } from './snapshot/file.ts'
import { StreamedRestore, prepareRestore, saveMachine, streamMachine } from './snapshot/snapshot.ts'
import type { DiskShape, MachineSnapshot } from './snapshot/snapshot.ts'
import type { VirtioConfig } from './virtio.ts'
import { Vcpu } from './vcpu.ts'
import type { SliceOutcome } from './vcpu.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface MachineConfig {
  /** Bytes of RAM, a multiple of 4 KiB. */
  readonly memory: number
  /** The built engine (dist/engine.wasm), compiled. */
  readonly engine: WebAssembly.Module
  /** Which features the processor has. Default: `max`. */
  readonly cpu?: CpuModel
  /** Back ends of COM1 to COM4; a line without one drops what the guest sends. */
  readonly serial?: readonly SerialBackend[]
  /** Disks and other devices of paravirtualization; none if it is left out. */
  readonly virtio?: VirtioConfig
  /** NVMe disks: namespaces of one controller, in order. */
  readonly disks?: readonly BlockBackend[]
  /** Monotonic, nanoseconds. */
  readonly hostNow: () => number
  /** Milliseconds since 1970 now. */
  readonly wallClock: () => number
  /** 32 random bits, unsigned. */
  readonly random: () => number
  /** Translates hot code; without it everything is interpreted. */
  readonly compiler?: RegionCompiler
  /**
   * Called when the guest's kernel says that it has panicked, in the middle of an instruction; gives what comes of it. Left out, the
   * machine ends, unless a crash kernel takes over.
   */
  readonly panicked?: (panic: GuestPanic) => PanicOutcome
  /** Executions before code counts as hot; the engine's own choice if it is left out. */
  readonly translationThreshold?: number
  /** The trust domain's memory; a pool of its own if there is none. */
  readonly pool?: Pool
}

export interface BootConfig {
  readonly kernel: KernelImage
  readonly commandLine: string
  readonly initrd?: Uint8Array
  readonly entry?: KernelEntry
}

/** `end`: the machine ends with the reason `panicked`. `go-on`: it goes on, and the guest does what it is told to do after a panic. */
export type PanicOutcome = 'end' | 'go-on'

export type { MachineEnd } from './machine-standing.ts'

/** What a slice came back with. */
export type RunOutcome =
  | { readonly state: 'running' }
  /** Nothing to do before virtual time `wakeAt` (Infinity: only an input wakes it). */
  | { readonly state: 'halted'; readonly wakeAt: number; readonly interruptible: boolean }
  | { readonly state: 'ended'; readonly reason: MachineEnd }

/** Pool memory beside RAM: vCPU state, decoded code, the frame map. */
const POOL_OVERHEAD = 96 << 20
const PAGE = 4096
const FLAG_IF = 0x200

export class Machine {
  readonly cpu: CpuModel
  readonly layout: MachineLayout
  readonly clock: VirtualClock
  readonly memory: MappedMemory
  readonly vcpu: Vcpu
  readonly platform: Platform
  readonly frames: FrameMap
  /** What a snapshot says of the disks. */
  readonly disks: readonly DiskShape[]
  private readonly standing: MachineStanding
  private life: 'fresh' | 'used' | 'unusable' = 'fresh'

  /** @throws TenonError CPU_UNKNOWN, MEMORY_SIZE_INVALID, POOL_EXHAUSTED, ENGINE_MISMATCH. */
  constructor(config: MachineConfig) {
    const standing = new MachineStanding(config.wallClock())
    this.standing = standing
    this.cpu = cpuModel(config.cpu)
    const features = modelFeatures(this.cpu)
    this.disks = diskShapes(config)
    this.layout = layoutMachine({ memory: config.memory, vcpus: 1 })
    const { lowSize, highSize } = this.layout.ram
    const pool = config.pool ?? Pool.create(Math.min(config.memory + POOL_OVERHEAD, 2 ** 32))
    this.frames = FrameMap.create(pool, { lowPages: lowSize / PAGE, highPages: highSize / PAGE })
    this.memory = new MappedMemory(this.frames)
    this.clock = new VirtualClock(config.hostNow)
    const state = new VcpuState(pool.buffer, pool.allocateSlot(SLOT_SIZE) * SLOT_SIZE, pool.allocateRun(Math.ceil(BLOCK_SIZE / PAGE)))
    this.platform = new Platform({
      layout: this.layout, clock: this.clock, wallClock: config.wallClock, serial: config.serial ?? [],
      memory: this.memory, frames: this.frames, virtio: config.virtio ?? {}, disks: config.disks ?? [],
      pins: {
        interrupt: (pending) => this.vcpu.processor.interrupt(pending),
        nonMaskableInterrupt: () => this.vcpu.processor.nonMaskableInterrupt(),
        initialize: () => this.vcpu.processor.initialize(),
        startUp: (vector) => this.vcpu.processor.startUp(vector),
      },
      timeOfTsc: (tsc) => Number(BigInt.asIntN(64, tsc - state.blockU64(Block.TSC_ADJUST))),
      powerOff: () => this.end('power-off'),
      resetMachine: () => this.end('reset'),
      panicked: (panic) => {
        const outcome = config.panicked?.(panic) ?? (panic === 'panicked' ? 'end' : 'go-on')
        if (outcome === 'end') this.end('panicked')
      },
      watchdogExpired: () => this.end('watchdog'),
    })
    this.vcpu = new Vcpu({
      state, frames: this.frames, memory: this.memory, memoryBus: this.platform.mmio, ports: this.platform.ports,
      interrupts: this.platform.apic, apic: this.platform.apic, coprocessor: this.platform.coprocessor, apicId: 0,
      clock: this.clock,
      get startTime() { return standing.startTime },
      random: config.random, processorCount: 1, features,
    }, config.engine, config.compiler, config.translationThreshold)
    resetProcessor(this.vcpu.processor)
  }

  /** COM1 to COM4, for their back ends. */
  get serial(): readonly SerialPort[] { return this.platform.serial }

  /**
   * Every stateful part but the memory, by its name in a snapshot, in the order of restoring: timers need the clock, and the APIC's
   * the processor's time stamp counter.
   */
  get parts(): Readonly<Record<string, Stateful>> {
    return { clock: this.clock, machine: this.standing, vcpu0: this.vcpu, ...this.platform.devices }
  }

  /** Guest instructions retired since the machine was made. */
  get retired(): number { return this.vcpu.engine.retired }

  /** What the engine has done so far. */
  get figures(): EngineFigures { return this.vcpu.engine.figures }

  /** Loads a kernel into a machine that has not run. @throws TenonError (BootErrorCode). */
  boot(config: BootConfig): void {
    this.use()
    const rsdp = installFirmware(this.memory, this.layout)
    this.enter(loadKernel(this.memory, this.layout, { ...config, rsdp }))
  }

  /**
   * The reset of a PC, in place: devices and processor are as at power-on, RAM is zeros, and `boot` must follow. Pool, back ends and
   * their connections stay, and virtual time goes on. Between slices only, and when no disk owes an answer: what was abandoned might
   * otherwise be written after what the new kernel writes.
   */
  reset(): void {
    const { lowPages, highPages } = this.frames
    const hadExpired = this.standing.ended === 'watchdog'
    this.platform.reset()
    this.vcpu.reset()
    this.standing.reset()
    this.frames.releasePages([0, lowPages, HIGH_MEMORY_PAGE, highPages])
    // Frames wait for transfers of two epochs, and none is under way.
    this.frames.reclaim()
    this.frames.reclaim()
    if (hadExpired) this.platform.watchdog.noteExpiry()
    this.life = 'fresh'
  }

  /** Starts virtual time; `run` does so too. */
  resume(): void { this.clock.start() }
  /** Stops virtual time, so that the machine can be saved, or left alone. */
  pause(): void { this.clock.pause() }

  /** Runs up to about `budget` instructions and lets expired timers fire. */
  run(budget: number): RunOutcome { return this.slice(() => this.vcpu.run(budget)) }

  /**
   * Runs exactly `count` instructions, unless the machine halts or ends before. With a host clock that stands still during each
   * call, the outcome follows from the machine's state and input alone: runs can be repeated.
   */
  runExactly(count: number): RunOutcome { return this.slice(() => this.vcpu.runExactly(count)) }

  /** As `runExactly`, but for some instructions as the engine likes, at least about `size`: what a region does up to its exit. */
  runPiece(size: number): RunOutcome { return this.slice(() => this.vcpu.runPiece(size)) }

  private slice(runVcpu: () => SliceOutcome): RunOutcome {
    this.use()
    this.clock.start()
    this.clock.expire()
    this.frames.reclaim()
    const outcome = this.standing.ended === undefined ? runVcpu() : 'running'
    if (this.standing.ended !== undefined) return { state: 'ended', reason: this.standing.ended }
    if (outcome === 'shutdown') {
      this.end('triple-fault')
      return { state: 'ended', reason: 'triple-fault' }
    }
    if (outcome === 'running') return { state: 'running' }
    const interruptible = (this.vcpu.processor.state.slotU32(Slot.SYSTEM_FLAGS) & FLAG_IF) !== 0
    return { state: 'halted', wakeAt: this.clock.nextDeadline, interruptible }
  }

  /** The machine as plain data. Stops virtual time; `run` starts it again. */
  save(): MachineSnapshot {
    this.pause()
    return saveMachine(this)
  }

  /**
   * Makes a fresh machine, of the same configuration, what `save` saw. The snapshot may be damaged or malicious: it is checked, and
   * copied. A machine whose restore fails half way can only be thrown away.
   * @throws TenonError SNAPSHOT_INVALID, SNAPSHOT_VERSION, SNAPSHOT_MISMATCH, MACHINE_IN_USE, POOL_EXHAUSTED.
   */
  restore(snapshot: MachineSnapshot): void {
    this.mustBeFresh()
    const restoreAll = prepareRestore(this, snapshot)
    this.life = 'unusable'
    restoreAll()
    this.life = 'used'
  }

  /**
   * The machine as a snapshot's file, in pieces to be written one after the other. Stops virtual time. Memory is copied as the pieces are
   * taken: the machine must stand still, and its disks too, until the last.
   */
  encode(): Generator<Uint8Array, void, undefined> {
    this.pause()
    return encodeSnapshot(streamMachine(this))
  }

  /**
   * As `restore`, from a snapshot's file in pieces of any size. The memory goes to its place while it is read; if something is wrong
   * after that, the machine can only be thrown away. Errors of `pieces` pass through.
   */
  decode(pieces: Iterable<Uint8Array>): void {
    this.mustBeFresh()
    const restore = new StreamedRestore(this, () => { this.life = 'unusable' })
    const reader = new SnapshotReader(restore)
    for (const piece of pieces) reader.push(piece)
    reader.finish()
    restore.finish()
    this.life = 'used'
  }

  /** Presses the ACPI power button. */
  powerButton(): void { this.platform.acpi.pressPowerButton() }

  /** Where the vCPU is, for messages about guests that went wrong. */
  describe(): string {
    const { state } = this.vcpu.processor
    const hex = (value: bigint): string => `0x${value.toString(16)}`
    return `RIP ${hex(state.rip)}, RSP ${hex(state.rsp)}, CS 0x${state.segmentSelector(Segment.CS).toString(16)}, `
      + `CR0 0x${state.cr0.toString(16)}, CR2 ${hex(state.blockU64(Block.CR2))}, CR3 ${hex(state.blockU64(Block.CR3))}`
  }

  private mustBeFresh(): void {
    if (this.life === 'fresh') return
    throw snapshotError('MACHINE_IN_USE', 'only a machine that has neither booted nor run can be restored: build another one')
  }

  private use(): void {
    if (this.life === 'unusable') {
      throw snapshotError('MACHINE_UNUSABLE', 'this machine is half restored from a damaged snapshot: build another one')
    }
    this.life = 'used'
  }

  private enter(initial: InitialState): void {
    this.platform.enterFirmwareState(this.layout)
    applyInitialState(this.vcpu.processor, initial)
  }

  /** Takes effect when the instruction that caused it has ended. */
  private end(reason: MachineEnd): void {
    this.standing.ended ??= reason
    this.vcpu.stop()
  }
}

function diskShapes({ disks = [], virtio = {} }: MachineConfig): DiskShape[] {
  const shape = (place: string, { size, blockSize, readOnly }: BlockBackend): DiskShape => ({ place, size, blockSize, readOnly })
  return [
    ...disks.map((disk, index) => shape(`nvme ${index}`, disk)),
    ...(virtio.disks ?? []).map(({ backend }, index) => shape(`virtio-block ${index}`, backend)),
    ...(virtio.scsiUnits ?? []).map((unit, index) => shape(`virtio-scsi ${index}`, unit)),
  ]
}
