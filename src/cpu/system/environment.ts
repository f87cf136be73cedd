import type { Clock } from '../../machine/clock.ts'
import type { FrameMap } from '../../machine/frame-map.ts'
import type { ApicMsrs, CoprocessorPins, InterruptController } from '../../machine/interrupts.ts'
import type { PortSize } from '../../machine/io.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { MemoryBus } from '../mmu/physical.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/** Port accesses; values are unsigned. A port that nothing answers reads as all ones. */
export interface PortAccess {
  read(port: number, size: PortSize): number
  write(port: number, size: PortSize, value: number): void
}

/** The vCPU's local APIC as its instructions see it, beside its registers in memory. */
export interface ApicPort extends ApicMsrs {
  /** Bits 4 to 7 of the task priority register, 0 to 15. */
  cr8: number
  /** IA32_TSC_ADJUST has changed, and with it the time that a TSC deadline means. */
  tscChanged(): void
}

/** Everything outside the processor that it needs. */
export interface ProcessorEnvironment {
  readonly state: VcpuState
  readonly frames: FrameMap
  /** Guest-physical memory, for structures that the processor shares with the guest (the paravirtual clock). */
  readonly memory: GuestMemory
  readonly memoryBus: MemoryBus
  readonly ports: PortAccess
  readonly interrupts: InterruptController
  readonly apic: ApicPort
  readonly coprocessor: CoprocessorPins
  /** Initial APIC ID; the processor with 0 is the bootstrap processor. */
  readonly apicId: number
  readonly clock: Clock
  /** Wall-clock time at the clock's zero, in milliseconds since 1970. */
  readonly startTime: number
  /** 32 random bits, unsigned. */
  random(): number
  /** Number of vCPUs of the machine, for CPUID's topology. */
  readonly processorCount: number
}
