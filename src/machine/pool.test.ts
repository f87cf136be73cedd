import { describe, expect, it } from 'vitest'
import { gpa } from '../base/addresses.ts'
import { FrameMap, FrameState } from './frame-map.ts'
import { MappedMemory } from './mapped-memory.ts'
import { Pool } from './pool.ts'

const MIB = 1 << 20

describe('a pool', () => {
  it('gives out every page once and says when it is exhausted', () => {
    const pool = Pool.create(2 * MIB)
    const total = pool.freePages
    const frames = new Set<number>()
    for (let address = pool.allocateFrame(); address !== 0; address = pool.allocateFrame()) frames.add(address)
    expect(frames.size).toBe(total)
    expect(frames.has(pool.zeroFrameAddress)).toBe(false)
    expect(Math.min(...frames)).toBeGreaterThanOrEqual(65536 + 4096)
    expect(pool.freePages).toBe(0)
    expect(() => pool.allocateRun(1)).toThrow(expect.objectContaining({ code: 'POOL_EXHAUSTED' }))
  })

  it('gives zeroed frames again after they were freed dirty', () => {
    const pool = Pool.create(2 * MIB)
    const a = pool.allocateFrame()
    pool.u8.fill(0xaa, a, a + 4096)
    pool.freeFrame(a)
    expect(pool.allocateFrame()).toBe(a)
    expect(pool.u8.subarray(a, a + 4096).every((byte) => byte === 0)).toBe(true)
  })

  it('reuses freed runs, splitting them, and falls back on them for frames', () => {
    const pool = Pool.create(2 * MIB)
    const run = pool.allocateRun(10)
    pool.u8.fill(1, run, run + 40960)
    pool.freeRun(run, 10)
    expect(pool.allocateRun(4)).toBe(run)
    expect(pool.u8[run + 4 * 4096 - 1]).toBe(0)
    const left = pool.freePages
    let count = 0
    while (pool.allocateFrame() !== 0) count++
    expect(count).toBe(left)
  })

  it('is the same for whoever attaches', () => {
    const pool = Pool.create(2 * MIB)
    const other = Pool.attach(pool.memory)
    expect(other.allocateFrame()).not.toBe(pool.allocateFrame())
    expect(other.freePages).toBe(pool.freePages)
  })

  it('numbers vCPU slots from 1 to 63', () => {
    const pool = Pool.create(2 * MIB)
    const slots = Array.from({ length: 63 }, () => pool.allocateSlot(1024))
    expect([slots[0], slots[62], new Set(slots).size]).toEqual([1, 63, 63])
    expect(() => pool.allocateSlot(1024)).toThrow(expect.objectContaining({ code: 'POOL_EXHAUSTED' }))
    pool.freeSlot(40)
    expect(pool.allocateSlot(1024)).toBe(40)
  })

  it('refuses impossible sizes', () => {
    for (const size of [0, 4096, 2 ** 33, NaN]) expect(() => Pool.create(size))
      .toThrow(expect.objectContaining({ code: 'POOL_SIZE_INVALID' }))
  })
})

describe('guest memory over a frame map', () => {
  it('reads zeros where nothing was written, all ones outside RAM, and allocates on writes only', () => {
    const pool = Pool.create(8 * MIB)
    const frames = FrameMap.create(pool, { lowPages: 16, highPages: 4 })
    const memory = new MappedMemory(frames)
    const free = pool.freePages
    expect(memory.readU32(gpa(0x1000))).toBe(0)
    expect(memory.readU64(gpa(0xfffc))).toBe(0xffffffff00000000n)
    expect(memory.readU8(gpa(2 ** 32 + 0x3fff))).toBe(0)
    expect(memory.readU8(gpa(2 ** 32 + 0x4000))).toBe(0xff)
    expect(pool.freePages).toBe(free)
    memory.writeU64(gpa(0x1ffc), 0x1122334455667788n)
    expect(memory.readU64(gpa(0x1ffc))).toBe(0x1122334455667788n)
    memory.writeU16(gpa(2 ** 32 + 0x1000), 0xbeef)
    expect(memory.readU16(gpa(2 ** 32 + 0x1000))).toBe(0xbeef)
    memory.writeU32(gpa(0x10000), 1)
    expect(pool.freePages).toBe(free - 3)
    frames.destroy()
    expect(pool.freePages).toBeGreaterThan(free)
  })

  it('lends ranges of itself for transfers, in RAM only, with frames of their own for writing', () => {
    const pool = Pool.create(8 * MIB)
    const frames = FrameMap.create(pool, { lowPages: 16, highPages: 4 })
    const memory = new MappedMemory(frames)
    const lent = memory.ranges(gpa(0x1ff8), 0x1010, true)!
    expect(lent.map(range => range.length)).toEqual([8, 0x1000, 8])
    lent[1][0] = 0x5a
    expect(memory.readU8(gpa(0x2000))).toBe(0x5a)
    expect(memory.ranges(gpa(0x3000), 4, false)![0]).toEqual(new Uint8Array(4))
    expect(memory.readU8(gpa(0x3000))).toBe(0)
    for (const outside of [0xfffc, 0x10000, 2 ** 40 - 4]) expect(memory.ranges(gpa(outside), 8, false)).toBeNull()
  })

  it('reports a transfer into watched pages as changed code', () => {
    const frames = FrameMap.create(Pool.create(8 * MIB), { lowPages: 16, highPages: 4 })
    const seen: number[][] = []
    frames.addCodeWatcher({
      codeWritten: (_frame, offset, length, page) => seen.push([page, offset, length]), pageReleased: () => undefined,
    })
    frames.watchCode(2)
    new MappedMemory(frames).written(gpa(0x1ff8), 0x1010)
    expect(seen).toEqual([[2, 0, 0x1000]])
  })

  it('takes pages back, and gives their frames to others once no transfer can reach them', () => {
    const pool = Pool.create(8 * MIB)
    const frames = FrameMap.create(pool, { lowPages: 16, highPages: 4 })
    const memory = new MappedMemory(frames)
    const heard: string[] = []
    frames.addObserver({
      zeroFrameReplaced: () => undefined, frameProtected: () => undefined, framesReleased: () => heard.push('released'),
    })
    frames.addCodeWatcher({ codeWritten: () => undefined, pageReleased: (page) => heard.push(`code ${page}`) })
    frames.addRom(12, Uint8Array.of(9))
    for (const page of [2, 3, 5]) memory.writeU32(gpa(page * 4096), 0x12345678)
    frames.watchCode(3)
    const transfer = frames.transfers.begin()
    const free = pool.freePages
    frames.releasePages([2, 2, 12, 1, 14, 1000, 2 ** 40, 1])
    frames.reclaim()
    expect([heard, pool.freePages - free]).toEqual([['code 3', 'released'], 0])
    expect([2, 3, 5, 12].map((page) => memory.readU32(gpa(page * 4096)))).toEqual([0, 0, 0x12345678, 9])
    expect(frames.entry(3) & FrameState.WATCHED).toBe(0)
    frames.transfers.end(transfer)
    frames.reclaim()
    expect(pool.freePages - free).toBe(2)
    memory.writeU32(gpa(2 * 4096), 1)
    expect([memory.readU32(gpa(2 * 4096)), memory.readU32(gpa(2 * 4096 + 4))]).toEqual([1, 0])
    frames.releasePages([3, 1])
    expect(heard.length).toBe(2)
  })

  it('refuses a machine that the pool cannot hold', () => {
    expect(() => FrameMap.create(Pool.create(8 * MIB), { lowPages: 4096, highPages: 0 }))
      .toThrow(expect.objectContaining({ code: 'POOL_EXHAUSTED' }))
  })
})
