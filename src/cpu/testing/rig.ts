import { FrameMap } from '../../machine/frame-map.ts'
import { MappedMemory } from '../../machine/mapped-memory.ts'
import { Pool } from '../../machine/pool.ts'
import type { MemoryBus } from '../mmu/physical.ts'
import { Mmu } from '../mmu/mmu.ts'
import { LinearMemory } from '../mmu/linear-memory.ts'
import { BLOCK_SIZE, SLOT_SIZE } from '../state/layout.ts'
import { VcpuState } from '../state/vcpu-state.ts'

/** Records device accesses and answers reads with a pattern. */
export class RecordingBus implements MemoryBus {
  readonly log: string[] = []
  read(address: number, size: number): number {
    this.log.push(`read ${address.toString(16)} ${size}`)
    return (0x44332211 & (size === 4 ? -1 : (1 << (8 * size)) - 1)) >>> 0
  }
  write(address: number, size: number, value: number): void {
    this.log.push(`write ${address.toString(16)} ${size} ${value.toString(16)}`)
  }
}

/** A pool, a guest's memory and one vCPU's state, all of it zero. */
export class StateRig {
  readonly pool: Pool
  readonly frames: FrameMap
  readonly memory: MappedMemory
  readonly state: VcpuState
  readonly bus = new RecordingBus()

  constructor(pages = 1024) {
    this.pool = Pool.create(16 << 20)
    this.frames = FrameMap.create(this.pool, { lowPages: pages, highPages: 0 })
    this.memory = new MappedMemory(this.frames)
    const block = this.pool.allocateRun(Math.ceil(BLOCK_SIZE / 4096))
    this.state = new VcpuState(this.pool.buffer, this.pool.allocateSlot(SLOT_SIZE) * SLOT_SIZE, block)
  }
}

/** The same with an MMU and without a processor: paging is off. */
export class MemoryRig extends StateRig {
  readonly mmu: Mmu
  readonly linear: LinearMemory

  constructor(pages?: number) {
    super(pages)
    this.mmu = new Mmu(this.state, this.frames, this.bus)
    this.linear = new LinearMemory(this.mmu)
  }
}

/** A small deterministic random source (xorshift32). */
export class TestRandom {
  private state: number
  constructor(seed: number) { this.state = seed | 0 || 1 }
  next(): number {
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    return this.state >>> 0
  }
  below(limit: number): number { return this.next() % limit }
  chance(oneIn: number): boolean { return this.below(oneIn) === 0 }
  pick<T>(from: readonly T[]): T { return from[this.below(from.length)] }
}
