import { beforeEach, describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import type { BalloonStatistics } from '../../machine/balloon.ts'
import { Feature } from './bits.ts'
import { BalloonFeature, VirtioBalloon } from './balloon.ts'
import { VirtioDriver } from './testing/driver.ts'
import { attach } from './testing/function.ts'
import type { AttachedFunction } from './testing/function.ts'
import { PlainMemory } from './testing/plain-memory.ts'

const memory = new PlainMemory(1 << 20)
const released: number[][] = []
const heard: (BalloonStatistics | number)[] = []
let device: VirtioBalloon
let attached: AttachedFunction
let driver: VirtioDriver

function build(): VirtioBalloon {
  return new VirtioBalloon({ releasePages: (ranges) => { released.push([...ranges]) } }, {
    resized: (bytes) => { heard.push(bytes) }, statistics: (statistics) => { heard.push(statistics) },
  })
}

function start(features: readonly number[]): void {
  device = build()
  attached = attach(device, memory)
  driver = new VirtioDriver(attached.device, memory).start(features)
  released.length = heard.length = 0
}

beforeEach(() => start([...Object.values(BalloonFeature), Feature.RING_EVENT_IDX]))

function sendNumbers(queue: number, numbers: readonly number[]): void {
  const address = driver.allocate(4 * numbers.length)
  numbers.forEach((number, index) => memory.writeU32(gpa(address + 4 * index), number))
  driver.queues[queue].add([{ address, length: 4 * numbers.length, writable: false }])
  driver.queues[queue].notify()
}

function sendStatistics(statistics: readonly (readonly [number, bigint])[]): void {
  const address = driver.allocate(10 * statistics.length)
  statistics.forEach(([tag, value], index) => {
    memory.writeU16(gpa(address + 10 * index), tag)
    memory.writeU64(gpa(address + 10 * index + 2), value)
  })
  driver.queues[2].add([{ address, length: 10 * statistics.length, writable: false }])
  driver.queues[2].notify()
}

describe('a balloon', () => {
  it('tells the driver its target, and the host its size', () => {
    device.setTarget(5 << 20)
    expect([driver.read(0x2000, 4), driver.isr, driver.read(0x15, 1)]).toEqual([1280, 2, 1])
    driver.write(0x2004, 4, 1000)
    expect([driver.read(0x2004, 4), device.size, heard]).toEqual([1000, 4_096_000, [4_096_000]])
    device.setTarget(5 << 20)
    device.setTarget(2 ** 60)
    expect([driver.read(0x2000, 4), driver.read(0x15, 1)]).toEqual([0xffffffff, 2])
  })

  it('releases pages that go in, in ranges, and none that come out', () => {
    sendNumbers(0, [5, 6, 7, 3, 0xffffffff, 9, 10])
    sendNumbers(1, [5, 6])
    expect(released).toEqual([[5, 3, 3, 1, 0xffffffff, 1, 9, 2]])
    expect([driver.queues[0].poll().length, driver.queues[1].poll().length]).toEqual([1, 1])
  })

  it('releases the whole pages of free memory that is reported', () => {
    driver.queues[3].add([[0x10000, 0x3000], [0x20800, 0x1800], [0x30001, 0x1000], [0x40000, 0x800]].map(([address, length]) => ({
      address, length, writable: true,
    })))
    driver.queues[3].notify()
    expect([released, driver.queues[3].poll().length]).toEqual([[[0x10, 3, 0x21, 1]], 1])
  })

  it('finds the reports of a driver without statistics', () => {
    start([BalloonFeature.PAGE_REPORTING])
    driver.queues[2].add([{ address: 0x10000, length: 0x1000, writable: true }])
    driver.queues[2].notify()
    expect([released, driver.queues[2].poll().length, device.requestStatistics()]).toEqual([[[0x10, 1]], 1, false])
    start([])
    driver.queues[3].add([{ address: 0x10000, length: 0x1000, writable: true }])
    driver.queues[3].notify()
    expect([released, driver.queues[3].poll().length]).toEqual([[], 1])
  })

  it('asks for statistics by giving their buffer back', () => {
    expect(device.requestStatistics()).toBe(false)
    sendStatistics([[4, 1n << 40n], [5, 7n], [99, 1n], [0, 3n]])
    expect([heard, driver.queues[2].poll()]).toEqual([[{ free: 1n << 40n, total: 7n, swapIn: 3n }], []])
    expect([device.requestStatistics(), driver.isr, driver.queues[2].poll().length]).toEqual([true, 1, 1])
    expect(device.requestStatistics()).toBe(false)
    sendStatistics([[6, 5n]])
    expect(driver.queues[2].notificationWanted).toBe(true)
    sendStatistics([[6, 6n]])
    expect([heard.slice(1), driver.queues[2].poll().length]).toEqual([[{ available: 5n }, { available: 6n }], 1])
  })

  it('holds the statistics across a restore', () => {
    sendStatistics([[6, 5n]])
    const saved = attached.device.save()
    attached = attach(device = build(), memory)
    attached.device.restore(saved)
    attached.device.resume()
    expect(driver.queues[2].poll().length).toBe(0)
    expect([device.requestStatistics(), driver.queues[2].poll().length]).toEqual([true, 1])
  })

  it('is empty after a reset', () => {
    driver.write(0x2004, 4, 1000)
    driver.status = 0
    expect([device.size, driver.read(0x2004, 4)]).toEqual([0, 0])
  })
})
